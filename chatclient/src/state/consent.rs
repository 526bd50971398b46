//! What somebody who asks for a link is told without asking the user: rules for people, and for the people of a room.

use super::StateError;
use super::folder::Folder;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many rules are kept, of both kinds together.
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
        if rules.people.len() + rules.rooms.len() > MAX_CONSENT_RULES {
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
