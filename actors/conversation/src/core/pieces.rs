//! A text that grows without being moved: an answer may have many megabytes, and each growth of one
//! string would leave its old memory behind.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The largest size to which a piece grows, in bytes.
const PIECE: usize = 64 * 1024;

/// See the module's documentation. Written as one string.
#[derive(Clone, Default)]
pub(crate) struct Pieces(Vec<String>);

impl Pieces {
    pub(crate) fn push_str(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(last) if last.len() + text.len() <= PIECE => last.push_str(text),
            _ => self.0.push(text.to_owned()),
        }
    }

    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flat_map(|piece| piece.bytes())
    }
}

impl From<&str> for Pieces {
    fn from(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

impl PartialEq for Pieces {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.bytes().eq(other.bytes())
    }
}

impl Eq for Pieces {}

impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| f.write_str(piece))
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for Pieces {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(vec![String::deserialize(deserializer)?]))
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE, Pieces};

    #[test]
    fn it_is_the_text_whatever_its_pieces() {
        let word = "wörd \"1\"\n";
        let (mut pieces, mut text) = (Pieces::default(), String::new());
        for _ in 0..3 * PIECE / word.len() {
            pieces.push_str(word);
            text.push_str(word);
        }
        assert!(pieces.0.len() > 2 && pieces.0.iter().all(|piece| piece.len() <= PIECE));
        assert_eq!((pieces.len(), pieces.to_string()), (text.len(), text.clone()));
        let json = serde_json::to_string(&pieces).unwrap();
        assert_eq!(json, serde_json::to_string(&text).unwrap());
        assert_eq!(serde_json::from_str::<Pieces>(&json).unwrap(), pieces);
        assert_ne!(pieces, Pieces::from("other"));
    }
}
