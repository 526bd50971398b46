//! A TCP proxy that counts: what passes between the clients and their server is measured by neither of them.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

pub struct Proxy {
    /// Where clients connect instead of the server.
    pub addr: String,
    passed: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy in front of `server`; it ends with the test.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        let passed = Arc::new(AtomicU64::new(0));
        let (server, counter) = (server.to_owned(), Arc::clone(&passed));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                let clones = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                forward(client, server, Arc::clone(&counter));
                forward(clones.1, clones.0, Arc::clone(&counter));
            }
        });
        Self { addr, passed }
    }

    /// Bytes that have passed so far, both ways.
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, counter: Arc<AtomicU64>) {
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let len = from.read(&mut buffer)?;
            if len == 0 {
                return to.shutdown(Shutdown::Write);
            }
            counter.fetch_add(len as u64, Ordering::SeqCst);
            to.write_all(&buffer[..len])?;
        }
    });
}
