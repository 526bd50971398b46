//! The states of one end, and what the other end may send in each.
//!
//! ```text
//!   listen()                                dial(): link_hello sent
//!      |                                       |
//!  AwaitHello --link_hello--> Admitting    AwaitWelcome
//!                                |             |
//!                             admit():     link_welcome
//!                          link_welcome        |
//!                              sent            |
//!                                |             |
//!                                +--> Open <---+      from here on both ends are alike
//!
//!   any state --bye, broken rule, end of input, deadline, refuse(), close()--> Closed
//! ```

use core::fmt;

use crate::wire::ToPeer;

/// How far one end of a link has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Was dialled and waits for the hello.
    AwaitHello,
    /// Has dialled, said hello and waits for the welcome.
    AwaitWelcome,
    /// Has the hello and waits for the program to admit or refuse it.
    Admitting,
    /// The link stands.
    Open,
    /// The link has ended; what arrives is ignored.
    Closed,
}

/// What moves an end from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A good hello came.
    HelloCame,
    /// The program admitted the hello.
    Admitted,
    /// The welcome of the right peer came.
    Welcomed,
    /// Anything that ends a link.
    Ended,
}

impl State {
    /// The state after `step`; a step that is not drawn from here changes nothing.
    pub(super) fn after(self, step: Step) -> Self {
        match (self, step) {
            (Self::AwaitHello, Step::HelloCame) => Self::Admitting,
            (Self::Admitting, Step::Admitted) | (Self::AwaitWelcome, Step::Welcomed) => Self::Open,
            (_, Step::Ended) => Self::Closed,
            (_, Step::HelloCame | Step::Admitted | Step::Welcomed) => self,
        }
    }

    /// Whether the other end may send `frame` now. In [`Closed`](Self::Closed) nothing is looked at any more.
    pub(super) fn allows(self, frame: &ToPeer<'_>) -> bool {
        match frame {
            ToPeer::Ping(_) | ToPeer::Pong(_) | ToPeer::Bye(_) | ToPeer::Error(_) => self != Self::Closed,
            ToPeer::LinkHello(_) => self == Self::AwaitHello,
            ToPeer::LinkWelcome(_) => self == Self::AwaitWelcome,
            ToPeer::LinkSay(_)
            | ToPeer::LinkSaid(_)
            | ToPeer::List(_)
            | ToPeer::ListPage(_)
            | ToPeer::FileRequest(_)
            | ToPeer::FileHead(_)
            | ToPeer::FileData(_)
            | ToPeer::FileUnit(_)
            | ToPeer::FileEnd(_)
            | ToPeer::FileCancel(_)
            | ToPeer::FileQueued(_)
            | ToPeer::FileDone(_)
            | ToPeer::FilePause(_)
            | ToPeer::FileResume(_)
            | ToPeer::FileRate(_)
            | ToPeer::UnitRequest(_)
            | ToPeer::FileValues(_) => self == Self::Open,
        }
    }
}

/// As it completes "while ..." in an error.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AwaitHello => "waiting for the hello",
            Self::AwaitWelcome => "waiting for the welcome",
            Self::Admitting => "the hello is being checked",
            Self::Open => "the link stands",
            Self::Closed => "the link is closed",
        })
    }
}
