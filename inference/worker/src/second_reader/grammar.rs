//! Grammars that an answer is held to, as automata over bytes, and the tokens that go on from a place in one.

use std::collections::{BTreeSet, HashMap};

use super::error::ReaderError;
use super::tokens::Tokens;

/// A part of a grammar.
#[derive(Debug, Clone)]
pub enum Part {
    /// These bytes.
    Text(String),
    /// One part after the other.
    All(Vec<Part>),
    /// One of them.
    One(Vec<Part>),
    /// Between so many and so many characters of prose: letters, figures, marks and spaces; no line's end, quotation mark
    /// or backslash, and in ASCII no control character.
    Prose(usize, usize),
}

impl Part {
    /// These words.
    pub fn text(words: &str) -> Self {
        Self::Text(words.to_owned())
    }

    /// One of these words.
    pub fn words(words: &[&str]) -> Self {
        Self::One(words.iter().map(|word| Self::text(word)).collect())
    }
}

/// A state from which nothing is an answer.
const DEAD: u32 = u32::MAX;

/// A grammar: a deterministic automaton over bytes.
#[derive(Debug)]
pub struct Grammar {
    /// Where each byte leads from each state.
    next: Vec<[u32; 256]>,
    /// Whether the bytes that led to a state are an answer.
    ends: Vec<bool>,
}

/// A place in a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    state: u32,
    may_end: bool,
    must_end: bool,
}

impl Place {
    /// Whether the bytes so far are an answer.
    pub fn may_end(self) -> bool {
        self.may_end
    }

    /// Whether nothing can follow.
    pub fn must_end(self) -> bool {
        self.must_end
    }
}

impl Grammar {
    /// The automaton of a part.
    pub fn new(part: &Part) -> Self {
        let mut many = Many::default();
        let start = many.state();
        let end = many.add(part, start);
        let first = many.closed(BTreeSet::from([start]));
        let mut numbers = HashMap::from([(first.clone(), 0)]);
        let mut open = vec![first];
        let mut grammar = Self {
            next: Vec::new(),
            ends: Vec::new(),
        };
        let mut at = 0;
        while let Some(states) = open.get(at).cloned() {
            let mut row = [DEAD; 256];
            for (byte, to) in (0..=255u8).zip(&mut row) {
                let reached = many.after(&states, byte);
                if reached.is_empty() {
                    continue;
                }
                *to = *numbers.entry(reached).or_insert_with_key(|reached| {
                    open.push(reached.clone());
                    (open.len() - 1) as u32
                });
            }
            grammar.next.push(row);
            grammar.ends.push(states.contains(&end));
            at += 1;
        }
        grammar
    }

    /// Where every answer begins.
    pub fn start(&self) -> Place {
        self.place(0)
    }

    /// The place after more bytes; none where they don't follow.
    pub fn after(&self, place: Place, bytes: &[u8]) -> Option<Place> {
        let mut state = place.state;
        for byte in bytes {
            state = self.next[state as usize][usize::from(*byte)];
            if state == DEAD {
                return None;
            }
        }
        Some(self.place(state))
    }

    /// Whether a text is an answer.
    pub fn accepts(&self, text: &str) -> bool {
        self.after(self.start(), text.as_bytes())
            .is_some_and(Place::may_end)
    }

    fn place(&self, state: u32) -> Place {
        let index = state as usize;
        Place {
            state,
            may_end: self.ends[index],
            must_end: self.next[index].iter().all(|to| *to == DEAD),
        }
    }

    /// Bytes that can follow.
    fn following(&self, place: Place) -> impl Iterator<Item = u8> {
        let row = &self.next[place.state as usize];
        (0..=255u8).filter(|byte| row[usize::from(*byte)] != DEAD)
    }
}

/// Where a byte leads: its range, and the state behind it.
type Edge = (u8, u8, usize);

/// The automaton before it is made deterministic: from each state by bytes, or by nothing, to many.
#[derive(Debug, Default)]
struct Many {
    bytes: Vec<Vec<Edge>>,
    free: Vec<Vec<usize>>,
}

impl Many {
    fn after(&self, states: &BTreeSet<usize>, byte: u8) -> BTreeSet<usize> {
        let edges = states.iter().flat_map(|state| &self.bytes[*state]);
        let reached = edges
            .filter(|(low, high, _)| (*low..=*high).contains(&byte))
            .map(|(_, _, to)| *to)
            .collect();
        self.closed(reached)
    }

    fn closed(&self, mut states: BTreeSet<usize>) -> BTreeSet<usize> {
        let mut open: Vec<usize> = states.iter().copied().collect();
        while let Some(state) = open.pop() {
            for next in &self.free[state] {
                if states.insert(*next) {
                    open.push(*next);
                }
            }
        }
        states
    }

    fn state(&mut self) -> usize {
        self.bytes.push(Vec::new());
        self.free.push(Vec::new());
        self.bytes.len() - 1
    }

    fn step(&mut self, from: usize, low: u8, high: u8) -> usize {
        let to = self.state();
        self.bytes[from].push((low, high, to));
        to
    }

    /// Adds a part behind a state, and gives the state behind it.
    fn add(&mut self, part: &Part, from: usize) -> usize {
        match part {
            Part::Text(text) => text
                .bytes()
                .fold(from, |at, byte| self.step(at, byte, byte)),
            Part::All(parts) => parts.iter().fold(from, |at, part| self.add(part, at)),
            Part::One(parts) => {
                let ends: Vec<usize> = parts.iter().map(|part| self.add(part, from)).collect();
                let end = self.state();
                for one in ends {
                    self.free[one].push(end);
                }
                end
            }
            Part::Prose(least, most) => {
                let end = self.state();
                let mut at = from;
                for count in 0..=*most {
                    if count >= *least {
                        self.free[at].push(end);
                    }
                    if count < *most {
                        at = self.character(at);
                    }
                }
                end
            }
        }
    }

    /// One character of prose in UTF-8 (RFC 3629 section 4).
    fn character(&mut self, from: usize) -> usize {
        let end = self.state();
        for (low, high) in [(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E)] {
            self.bytes[from].push((low, high, end));
        }
        let sequences: [&[(u8, u8)]; 8] = [
            &[(0xC2, 0xDF), (0x80, 0xBF)],
            &[(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
            &[(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
            &[(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
            &[(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
            &[(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
            &[(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
            &[(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
        ];
        for sequence in sequences {
            let (last, first) = (
                sequence[sequence.len() - 1],
                &sequence[..sequence.len() - 1],
            );
            let at = first
                .iter()
                .fold(from, |at, (low, high)| self.step(at, *low, *high));
            self.bytes[at].push((last.0, last.1, end));
        }
        end
    }
}

/// The bytes of every token, and a grammar over them.
#[derive(Debug)]
pub struct Vocabulary {
    grammar: Grammar,
    /// By their first byte: token and bytes.
    tokens: Vec<Vec<(i64, Vec<u8>)>>,
    bytes: HashMap<i64, Vec<u8>>,
}

impl Vocabulary {
    /// The tokens of a byte-level tokenizer that a model knows; special and added ones are no text.
    ///
    /// # Errors
    /// [`ReaderError::Tokenizer`] where the tokenizer isn't byte-level.
    pub fn new(tokens: &Tokens, grammar: Grammar, known: i64) -> Result<Self, ReaderError> {
        if !tokens.is_byte_level() {
            let what = "answers can be held to a grammar with a byte-level tokenizer alone";
            return Err(ReaderError::Tokenizer(what.to_owned()));
        }
        let alphabet = alphabet();
        let added = tokens.tokenizer().get_added_tokens_decoder();
        let mut by_first = vec![Vec::new(); 256];
        let mut all = HashMap::new();
        let mut entries: Vec<(String, u32)> =
            tokens.tokenizer().get_vocab(false).into_iter().collect();
        entries.sort_by_key(|(_, id)| *id);
        for (text, id) in entries {
            let number = i64::from(id);
            if added.contains_key(&id) || number >= known {
                continue;
            }
            let bytes: Option<Vec<u8>> = text.chars().map(|c| alphabet.get(&c).copied()).collect();
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                by_first[usize::from(bytes[0])].push((number, bytes.clone()));
                all.insert(number, bytes);
            }
        }
        Ok(Self {
            grammar,
            tokens: by_first,
            bytes: all,
        })
    }

    /// Where every answer begins.
    pub fn start(&self) -> Place {
        self.grammar.start()
    }

    /// The grammar.
    pub fn grammar(&self) -> &Grammar {
        &self.grammar
    }

    /// Tokens that go on from a place.
    pub fn allowed(&self, place: Place) -> Vec<i64> {
        self.grammar
            .following(place)
            .flat_map(|byte| &self.tokens[usize::from(byte)])
            .filter(|(_, bytes)| self.grammar.after(place, bytes).is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    /// The place after a token that was allowed.
    pub fn after(&self, place: Place, id: i64) -> Place {
        let bytes = self.bytes.get(&id).map_or(&[][..], Vec::as_slice);
        self.grammar.after(place, bytes).unwrap_or(place)
    }

    /// The text of tokens.
    pub fn text(&self, ids: &[i64]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .filter_map(|id| self.bytes.get(id))
            .flatten()
            .copied()
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The byte-level alphabet: printable bytes of Latin-1 are themselves, the others stand from U+0100 on.
fn alphabet() -> HashMap<char, u8> {
    let mut spare = 0x100;
    (0..=255u8)
        .map(|byte| {
            let printable = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
            let letter = if printable {
                char::from(byte)
            } else {
                spare += 1;
                char::from_u32(spare - 1).unwrap_or_default()
            };
            (letter, byte)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grammar() -> Grammar {
        Grammar::new(&Part::One(vec![
            Part::All(vec![
                Part::text("EF "),
                Part::words(&["5", "50", "100"]),
                Part::text("%"),
            ]),
            Part::All(vec![Part::text("原因:"), Part::Prose(1, 3)]),
        ]))
    }

    #[test]
    fn answers_are_told_from_what_is_none() {
        let grammar = grammar();
        for good in ["EF 5%", "EF 50%", "原因:暗", "原因:a é", "原因:🫀🫀🫀"] {
            assert!(grammar.accepts(good), "{good}");
        }
        for bad in [
            "",
            "EF ",
            "EF 500%",
            "EF 50% ",
            "原因:",
            "原因:abcd",
            "原因:a\n",
            "原因:\"",
        ] {
            assert!(!grammar.accepts(bad), "{bad}");
        }
        // Half a character is a beginning and no answer.
        let half = grammar.after(grammar.start(), &"原因:暗".as_bytes()[..9]);
        assert!(half.is_some_and(|place| !place.may_end()));
        // A byte that UTF-8 never has, and a surrogate.
        let start = grammar.after(grammar.start(), "原因:".as_bytes()).unwrap();
        assert!(grammar.after(start, &[0xFF]).is_none());
        assert!(grammar.after(start, &[0xED, 0xA0]).is_none());
    }

    #[test]
    fn a_place_knows_whether_anything_can_follow() {
        let grammar = grammar();
        let after = |text: &str| grammar.after(grammar.start(), text.as_bytes()).unwrap();
        assert!(!after("EF 5").may_end());
        assert!(after("EF 5%").must_end());
        assert!(after("原因:ab").may_end() && !after("原因:ab").must_end());
        assert!(after("原因:abc").must_end());
    }

    #[test]
    fn every_byte_has_its_letter() {
        let alphabet = alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(alphabet[&'Ġ'], b' ');
        assert_eq!(alphabet[&'Ċ'], b'\n');
    }
}
