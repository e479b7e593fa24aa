//! PDVs into command sets and data set bytes (PS3.7 section 6.3, PS3.8 annex E).

use sonode_conformance::limits;

use crate::command::{Command, CommandError};
use crate::pdu::Pdv;
use crate::refusal::Abort;

/// Empty fragments in one message before it is refused: some peers end a message with one.
const EMPTY_FRAGMENTS_MAX: u32 = 16;

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DimseEvent<'a> {
    /// A message begins.
    Command {
        /// Presentation context identifier.
        context: u8,
        /// The command.
        command: Command,
        /// Whether [`DimseEvent::Data`] follows; otherwise the message is whole.
        has_data_set: bool,
    },
    /// The next bytes of the message's data set.
    Data {
        /// Presentation context identifier: that of the command.
        context: u8,
        /// The bytes; may be empty.
        bytes: &'a [u8],
        /// Whether the message is whole now.
        is_last: bool,
    },
}

/// Why a stream of PDVs makes no messages. The association is to be aborted with [`ProtocolError::abort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The context was not accepted.
    #[error("presentation context {0} was not accepted")]
    UnknownContext(u8),
    /// A fragment of another context inside a message.
    #[error("a fragment of presentation context {found} inside a message of context {expected}")]
    Interleaved {
        /// Context of the message.
        expected: u8,
        /// Context of the fragment.
        found: u8,
    },
    /// Data where a command should begin, or go on.
    #[error("data set fragment without a whole command before it")]
    DataWithoutCommand,
    /// A command where data are due.
    #[error("command fragment while the data set of a message is due")]
    CommandWhileDataDue,
    /// Too many fragments without a byte.
    #[error("more than {EMPTY_FRAGMENTS_MAX} empty fragments in one message")]
    EmptyFragments,
    /// The command set outgrows [`limits::COMMAND_SET_BYTES_MAX`].
    #[error(
        "the command set is longer than {} bytes",
        limits::COMMAND_SET_BYTES_MAX
    )]
    CommandTooLong,
    /// The command set can't be read.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl ProtocolError {
    /// What the peer is told.
    pub fn abort(&self) -> Abort {
        match self {
            Self::DataWithoutCommand | Self::CommandWhileDataDue | Self::Interleaved { .. } => {
                Abort::UNEXPECTED_PARAMETER
            }
            _ => Abort::INVALID_PARAMETER,
        }
    }
}

/// Where the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Between,
    InCommand {
        context: u8,
    },
    DataDue {
        context: u8,
    },
    /// After an error: nothing more is taken.
    Broken,
}

/// Puts messages together. Any fragmentation of the same message gives the same command and the same data bytes.
#[derive(Debug)]
pub struct Assembler {
    /// Bit n of the set: context n was accepted.
    accepted: [u128; 2],
    command: Vec<u8>,
    state: State,
    empty_fragments: u32,
}

impl Assembler {
    /// An assembler for an association with these accepted contexts.
    pub fn new(accepted: impl IntoIterator<Item = u8>) -> Self {
        let mut set = [0; 2];
        for id in accepted {
            if let Some(half) = set.get_mut(usize::from(id >> 7)) {
                *half |= 1 << (id & 127);
            }
        }
        Self {
            accepted: set,
            command: Vec::new(),
            state: State::Between,
            empty_fragments: 0,
        }
    }

    /// Takes the next PDV. `None`: more is needed.
    ///
    /// # Errors
    /// Each [`ProtocolError`] variant; afterwards every PDV is an error.
    pub fn push<'a>(&mut self, pdv: Pdv<'a>) -> Result<Option<DimseEvent<'a>>, ProtocolError> {
        let result = self.take(pdv);
        if result.is_err() {
            self.state = State::Broken;
        }
        result
    }

    /// Whether a message has begun and is not whole.
    pub fn is_inside_message(&self) -> bool {
        matches!(self.state, State::InCommand { .. } | State::DataDue { .. })
    }

    /// Whether a data fragment of this context goes on with the message.
    pub fn is_data_due(&self, context: u8) -> bool {
        self.state == State::DataDue { context }
    }

    fn take<'a>(&mut self, pdv: Pdv<'a>) -> Result<Option<DimseEvent<'a>>, ProtocolError> {
        let half = self.accepted.get(usize::from(pdv.context >> 7));
        if half.is_none_or(|half| half >> (pdv.context & 127) & 1 == 0) {
            return Err(ProtocolError::UnknownContext(pdv.context));
        }
        if let State::InCommand { context } | State::DataDue { context } = self.state
            && context != pdv.context
        {
            return Err(ProtocolError::Interleaved {
                expected: context,
                found: pdv.context,
            });
        }
        if pdv.bytes.is_empty() {
            self.empty_fragments += 1;
            if self.empty_fragments > EMPTY_FRAGMENTS_MAX {
                return Err(ProtocolError::EmptyFragments);
            }
        }
        match (self.state, pdv.is_command) {
            (State::Broken, _) | (State::Between | State::InCommand { .. }, false) => {
                Err(ProtocolError::DataWithoutCommand)
            }
            (State::DataDue { .. }, true) => Err(ProtocolError::CommandWhileDataDue),
            (State::Between | State::InCommand { .. }, true) => self.take_command(pdv),
            (State::DataDue { context }, false) => {
                if pdv.is_last {
                    self.end_message();
                } else if pdv.bytes.is_empty() {
                    return Ok(None);
                }
                Ok(Some(DimseEvent::Data {
                    context,
                    bytes: pdv.bytes,
                    is_last: pdv.is_last,
                }))
            }
        }
    }

    fn take_command<'a>(&mut self, pdv: Pdv<'a>) -> Result<Option<DimseEvent<'a>>, ProtocolError> {
        let context = pdv.context;
        if self.command.len() + pdv.bytes.len() > limits::COMMAND_SET_BYTES_MAX {
            return Err(ProtocolError::CommandTooLong);
        }
        // A command in one piece, as almost all are, is read where it lies.
        let whole = if self.command.is_empty() && pdv.is_last {
            pdv.bytes
        } else {
            self.command.extend_from_slice(pdv.bytes);
            &self.command
        };
        if !pdv.is_last {
            self.state = State::InCommand { context };
            return Ok(None);
        }
        let (command, has_data_set) = Command::parse(whole)?;
        self.command.clear();
        if has_data_set {
            self.state = State::DataDue { context };
        } else {
            self.end_message();
        }
        Ok(Some(DimseEvent::Command {
            context,
            command,
            has_data_set,
        }))
    }

    fn end_message(&mut self) {
        self.state = State::Between;
        self.empty_fragments = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::StoreRq;
    use crate::response;

    fn fragment(context: u8, is_command: bool, is_last: bool, bytes: &[u8]) -> Pdv<'_> {
        Pdv {
            context,
            is_command,
            is_last,
            bytes,
        }
    }

    /// An assembler that waits for the data set of a C-STORE on context 1.
    fn with_data_due() -> Assembler {
        let mut assembler = Assembler::new([1, 3, 255]);
        let store = response::store_request(&StoreRq::default());
        let event = assembler.push(fragment(1, true, true, &store)).unwrap();
        assert!(matches!(
            event,
            Some(DimseEvent::Command {
                has_data_set: true,
                ..
            })
        ));
        assembler
    }

    #[test]
    fn what_breaks_the_order_of_fragments_is_an_error_and_stays_one() {
        let echo = response::echo_request(1);
        let cases = [
            (
                fragment(5, false, true, &[0]),
                ProtocolError::UnknownContext(5),
            ),
            (
                fragment(3, false, true, &[0]),
                ProtocolError::Interleaved {
                    expected: 1,
                    found: 3,
                },
            ),
            (
                fragment(1, true, true, &echo),
                ProtocolError::CommandWhileDataDue,
            ),
        ];
        for (pdv, error) in cases {
            let mut assembler = with_data_due();
            assert_eq!(assembler.push(pdv), Err(error));
            assert!(!assembler.is_inside_message());
            assert!(assembler.push(fragment(1, true, true, &echo)).is_err());
        }
        let mut assembler = Assembler::new([255]);
        assert_eq!(
            assembler.push(fragment(255, false, true, &[0])),
            Err(ProtocolError::DataWithoutCommand)
        );
    }

    #[test]
    fn empty_fragments_end_a_message_but_do_not_keep_it_going() {
        let mut assembler = with_data_due();
        assert_eq!(assembler.push(fragment(1, false, false, &[])), Ok(None));
        assert_eq!(
            assembler.push(fragment(1, false, true, &[])),
            Ok(Some(DimseEvent::Data {
                context: 1,
                bytes: &[],
                is_last: true
            }))
        );
        let endless = std::iter::repeat_n(fragment(1, true, false, &[]), 100);
        let mut assembler = Assembler::new([1]);
        let taken = endless.map_while(|pdv| assembler.push(pdv).ok()).count();
        assert_eq!(taken, usize::try_from(EMPTY_FRAGMENTS_MAX).unwrap());
    }

    #[test]
    fn messages_follow_one_another_however_each_is_cut() {
        let mut assembler = Assembler::new([1]);
        // More of them than fit under the bound of one command set.
        for message_id in 0..2000 {
            let echo = response::echo_request(message_id);
            let (head, tail) = echo.split_at(20);
            assert_eq!(assembler.push(fragment(1, true, false, head)), Ok(None));
            assert_eq!(assembler.push(fragment(1, true, false, tail)), Ok(None));
            let Ok(Some(DimseEvent::Command { command, .. })) =
                assembler.push(fragment(1, true, true, &[]))
            else {
                panic!("no command")
            };
            assert_eq!(command.request().map(|r| r.message_id), Some(message_id));
            assert!(!assembler.is_inside_message());
        }
    }

    #[test]
    fn a_command_set_is_bounded() {
        let mut assembler = Assembler::new([1]);
        let piece = [0; 1000];
        let taken = std::iter::repeat_n(fragment(1, true, false, &piece), 100)
            .map_while(|pdv| assembler.push(pdv).ok())
            .count();
        assert_eq!(taken, 65);
    }
}
