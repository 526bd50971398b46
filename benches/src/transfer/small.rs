//! Small files, and what they cost without any protocol: over a TLS link that stands already.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::Failure;

use super::copy::{self, Receiving};

/// Bytes of each.
pub(super) const SIZE: usize = 10 * 1024;

/// A new folder with so many files of random bytes, none like another.
pub(super) fn make(folder: &Path, count: u32) -> Result<Vec<PathBuf>, Failure> {
    let what = "make files to share";
    fs::create_dir(folder).map_err(Failure::io(what))?;
    let mut noise = blake3::Hasher::new().update(b"small").finalize_xof();
    let mut content = vec![0; SIZE];
    let write = |number| {
        noise.fill(&mut content);
        let path = folder.join(format!("{number:05}.bin"));
        fs::write(&path, &content).map(|()| path)
    };
    (0..count).map(write).collect::<Result<_, _>>().map_err(Failure::io(what))
}

/// A bare server of files on a thread, and the end that asks it.
pub(super) struct Bare {
    link: Receiving,
    content: Vec<u8>,
    server: JoinHandle<Result<(), Failure>>,
}

impl Bare {
    /// Serves `files` by their numbers.
    pub(super) fn start(files: Vec<PathBuf>) -> Result<Self, Failure> {
        let (link, server) = copy::link(move |mut link| {
            let mut number = [0; 4];
            // Until the other end has gone.
            while link.read_exact(&mut number).is_ok() {
                let path = usize::try_from(u32::from_be_bytes(number)).ok().and_then(|at| files.get(at));
                let Some(path) = path else { return Ok(()) };
                let content = fs::read(path).map_err(Failure::io(WHAT))?;
                link.write_all(&content).and_then(|()| link.flush()).map_err(Failure::io(WHAT))?;
            }
            Ok(())
        })?;
        Ok(Self { link, content: vec![0; SIZE], server })
    }

    /// Asks for one file, and takes it.
    pub(super) fn fetch(&mut self, number: u32) -> Result<&[u8], Failure> {
        self.ask(number)?;
        self.link.read_exact(&mut self.content).map_err(Failure::io(WHAT))?;
        Ok(&self.content)
    }

    fn ask(&mut self, number: u32) -> Result<(), Failure> {
        let asked = self.link.write_all(&number.to_be_bytes()).and_then(|()| self.link.flush());
        asked.map_err(Failure::io(WHAT))
    }

    /// Asks for so many files at once, and writes them into a new folder, flushing nothing. Returns how long that took.
    pub(super) fn fetch_all(&mut self, count: u32, into: &Path) -> Result<Duration, Failure> {
        fs::create_dir(into).map_err(Failure::io(WHAT))?;
        let begin = Instant::now();
        (0..count).try_for_each(|number| self.ask(number))?;
        for number in 0..count {
            self.link.read_exact(&mut self.content).map_err(Failure::io(WHAT))?;
            fs::write(into.join(number.to_string()), &self.content).map_err(Failure::io(WHAT))?;
        }
        Ok(begin.elapsed())
    }

    /// Ends the link.
    pub(super) fn end(self) -> Result<(), Failure> {
        let Self { link, server, .. } = self;
        drop(link);
        server.join().map_err(|_| Failure::new(WHAT, "the serving thread has died"))?
    }
}

const WHAT: &str = "fetch files over a bare link";

/// Flushes files that were just written, gives each another name, and flushes their folder, so many in one batch.
pub(super) fn flush_all(folder: &Path, batch: usize) -> Result<Duration, Failure> {
    let what = "flush copied files";
    let entries = fs::read_dir(folder).map_err(Failure::io(what))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let paths = paths.map_err(Failure::io(what))?;
    let begin = Instant::now();
    for batch in paths.chunks(batch) {
        for path in batch {
            File::open(path).and_then(|file| file.sync_all()).map_err(Failure::io(what))?;
        }
        for path in batch {
            fs::rename(path, path.with_extension("bin")).map_err(Failure::io(what))?;
        }
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Failure::io(what))?;
    }
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bare_link_serves_is_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = make(&dir.path().join("shared"), 5).unwrap();
        let mut bare = Bare::start(files.clone()).unwrap();
        assert!(bare.fetch(3).unwrap() == fs::read(&files[3]).unwrap());
        let copies = dir.path().join("copies");
        bare.fetch_all(5, &copies).unwrap();
        bare.end().unwrap();
        flush_all(&copies, 2).unwrap();
        for (number, file) in files.iter().enumerate() {
            assert!(fs::read(copies.join(format!("{number}.bin"))).unwrap() == fs::read(file).unwrap());
        }
    }
}
