//! What somebody who asks for a link is told without asking the user: rules for people, and for the people of a room. And who
//! learns no address of this client, because links with them go through the server's relay alone.

use super::StateError;
use super::folder::Folder;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// So many rules are kept, of all kinds together.
pub const MAX_CONSENT_RULES: usize = 1_000;

const FILE: &str = "consent.json";

/// What those who ask are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentRule {
    /// Yes, at once.
    Always,
    /// The user is asked.
    Ask,
    /// No, at once.
    Never,
}

/// The rules; saved at each change.
#[derive(Debug)]
pub struct Consent {
    folder: Arc<Folder>,
    rules: Rules,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    #[serde(default)]
    people: BTreeMap<String, ConsentRule>,
    #[serde(default)]
    rooms: BTreeMap<String, ConsentRule>,
    #[serde(default)]
    relay_only: BTreeSet<String>,
    #[serde(default)]
    relay_only_for_all: bool,
}

/// Whom a rule is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentFor<'a> {
    /// This person.
    Person(&'a str),
    /// Everybody who is in this room when they ask.
    Room(&'a str),
}

impl Consent {
    pub(super) fn load(folder: &Arc<Folder>) -> Result<Self, StateError> {
        let rules = match folder.read(FILE)? {
            None => Rules::default(),
            Some(text) => {
                serde_json::from_str(&text).map_err(|error| folder.corrupt(FILE, error.to_string()))?
            }
        };
        Ok(Self { folder: Arc::clone(folder), rules })
    }

    /// The rule for a person, whatever rooms they are in.
    #[must_use]
    pub fn person(&self, name: &str) -> Option<ConsentRule> {
        self.rules.people.get(name).copied()
    }

    /// The rules for people, by name.
    pub fn people(&self) -> impl Iterator<Item = (&str, ConsentRule)> {
        self.rules.people.iter().map(|(name, rule)| (name.as_str(), *rule))
    }

    /// The rules for rooms, by name.
    pub fn rooms(&self) -> impl Iterator<Item = (&str, ConsentRule)> {
        self.rules.rooms.iter().map(|(name, rule)| (name.as_str(), *rule))
    }

    /// The people who get no link but through the relay, by name.
    pub fn relay_only(&self) -> impl Iterator<Item = &str> {
        self.rules.relay_only.iter().map(String::as_str)
    }

    /// Whether nobody gets a link but through the relay.
    #[must_use]
    pub fn is_relay_only_for_all(&self) -> bool {
        self.rules.relay_only_for_all
    }

    /// Whether somebody, or everybody for `None`, gets a link through the relay alone; saved.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_relay_only(&mut self, person: Option<&str>, only: bool) -> Result<(), StateError> {
        let mut rules = self.rules.clone();
        match person {
            None => rules.relay_only_for_all = only,
            Some(name) if only => drop(rules.relay_only.insert(name.to_owned())),
            Some(name) => drop(rules.relay_only.remove(name)),
        }
        self.replace(rules)
    }

    /// Sets a rule, or takes it away, and saves.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] past [`MAX_CONSENT_RULES`], [`StateError::Io`] when it cannot be written; the rules stay as they
    /// were then.
    pub fn set(&mut self, whom: ConsentFor<'_>, rule: Option<ConsentRule>) -> Result<(), StateError> {
        let mut rules = self.rules.clone();
        let (table, name) = match whom {
            ConsentFor::Person(name) => (&mut rules.people, name),
            ConsentFor::Room(name) => (&mut rules.rooms, name),
        };
        match rule {
            Some(rule) => drop(table.insert(name.to_owned(), rule)),
            None => drop(table.remove(name)),
        }
        self.replace(rules)
    }

    fn replace(&mut self, rules: Rules) -> Result<(), StateError> {
        if rules.people.len() + rules.rooms.len() + rules.relay_only.len() > MAX_CONSENT_RULES {
            let path = self.folder.file_path(FILE);
            return Err(StateError::Full { path, what: "rules of consent", limit: MAX_CONSENT_RULES });
        }
        let mut text = serde_json::to_string_pretty(&rules)
            .map_err(|error| self.folder.failed("write", FILE, error.into()))?;
        text.push('\n');
        self.folder.replace(FILE, text.as_bytes())?;
        self.rules = rules;
        Ok(())
    }
}
