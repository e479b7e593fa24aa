//! Byte streams between hosts: in pieces of any size, late, cut at any byte, or silent without a word.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::crash_disk::Dice;

/// Whoever has an end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Host {
    Cart(usize),
    Node,
    Pacs,
}

/// What arrives.
#[derive(Debug)]
pub(crate) enum Parcel {
    Bytes(Vec<u8>),
    /// The other end closed, or the connection was reset.
    Closed,
}

/// An end of a connection: the one that called, or the one that was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Caller,
    Called,
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Caller => Self::Called,
            Self::Called => Self::Caller,
        }
    }
}

struct Link {
    hosts: [Host; 2],
    /// To the caller, to the one that was called.
    pipes: [Pipe; 2],
    /// Bytes, both ways together, that it still carries; none: without end.
    carries: Option<usize>,
    /// When it breaks nobody is told.
    breaks_silently: bool,
}

#[derive(Default)]
struct Pipe {
    parcels: VecDeque<(Duration, Parcel)>,
    last: Duration,
    /// Nothing gets through any more.
    is_dead: bool,
}

/// Every connection.
pub(crate) struct Network {
    links: BTreeMap<u64, Link>,
    next: u64,
    /// Whether connections break.
    pub(crate) is_bad: bool,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self {
            links: BTreeMap::new(),
            next: 0,
            is_bad: true,
        }
    }

    /// A connection from one host to another.
    pub(crate) fn connect(&mut self, from: Host, to: Host, dice: &mut Dice) -> u64 {
        self.next += 1;
        let breaks = self.is_bad && dice.below(4) == 0;
        let link = Link {
            hosts: [from, to],
            pipes: [Pipe::default(), Pipe::default()],
            carries: breaks.then(|| dice.below(12_000)),
            breaks_silently: dice.below(3) == 0,
        };
        self.links.insert(self.next, link);
        self.next
    }

    /// Sends bytes from an end, in pieces.
    pub(crate) fn send(
        &mut self,
        id: u64,
        from: End,
        mut bytes: &[u8],
        now: Duration,
        dice: &mut Dice,
    ) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let mut is_broken = false;
        if let Some(carries) = &mut link.carries {
            let sent = bytes.len().min(*carries);
            is_broken = sent < bytes.len();
            *carries -= sent;
            bytes = &bytes[..sent];
        }
        let pipe = &mut link.pipes[from.other() as usize];
        let pieces = 1 + dice.below(4);
        for _ in 0..pieces {
            let length = if dice.below(2) == 0 {
                bytes.len()
            } else {
                dice.below(bytes.len() + 1)
            };
            let (piece, rest) = bytes.split_at(length);
            pipe.put(Parcel::Bytes(piece.to_vec()), now, dice);
            bytes = rest;
        }
        pipe.put(Parcel::Bytes(bytes.to_vec()), now, dice);
        if is_broken {
            let silently = link.breaks_silently;
            for pipe in &mut link.pipes {
                if !silently {
                    pipe.put(Parcel::Closed, now, dice);
                }
                pipe.is_dead = true;
            }
        }
    }

    /// Closes an end. What it sent before still arrives.
    pub(crate) fn close(&mut self, id: u64, from: End, now: Duration, dice: &mut Dice) {
        if let Some(link) = self.links.get_mut(&id) {
            link.pipes[from.other() as usize].put(Parcel::Closed, now, dice);
            let own = &mut link.pipes[from as usize];
            own.parcels.clear();
            own.is_dead = true;
            if link.is_over() {
                self.links.remove(&id);
            }
        }
    }

    /// A host is gone: its connections are reset, or, where its power failed, say nothing any more.
    pub(crate) fn lose(&mut self, host: Host, silently: bool, now: Duration, dice: &mut Dice) {
        for link in self.links.values_mut() {
            for (own, other) in [(End::Caller, End::Called), (End::Called, End::Caller)] {
                if link.hosts[own as usize] == host {
                    let pipe = &mut link.pipes[other as usize];
                    if !silently {
                        pipe.put(Parcel::Closed, now, dice);
                    }
                    pipe.is_dead = true;
                    let pipe = &mut link.pipes[own as usize];
                    pipe.parcels.clear();
                    pipe.is_dead = true;
                }
            }
        }
        self.links.retain(|_, link| !link.is_over());
    }

    /// When the next parcel arrives.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        let pipes = self.links.values().flat_map(|link| &link.pipes);
        pipes.filter_map(|pipe| Some(pipe.parcels.front()?.0)).min()
    }

    /// What arrives next, at `now` or before: on which connection, at whom, and what.
    pub(crate) fn arrival(&mut self, now: Duration) -> Option<(u64, Host, Parcel)> {
        for (id, link) in &mut self.links {
            for end in [End::Caller, End::Called] {
                let pipe = &mut link.pipes[end as usize];
                if pipe.parcels.front().is_some_and(|(at, _)| *at <= now) {
                    let (_, parcel) = pipe.parcels.pop_front()?;
                    return Some((*id, link.hosts[end as usize], parcel));
                }
            }
        }
        None
    }
}

impl Link {
    fn is_over(&self) -> bool {
        let is_over = |pipe: &Pipe| pipe.is_dead && pipe.parcels.is_empty();
        self.pipes.iter().all(is_over)
    }
}

impl Pipe {
    fn put(&mut self, parcel: Parcel, now: Duration, dice: &mut Dice) {
        if matches!(&parcel, Parcel::Bytes(bytes) if bytes.is_empty()) || self.is_dead {
            return;
        }
        let delay = Duration::from_millis(dice.below(40) as u64);
        self.last = self.last.max(now + delay);
        self.parcels.push_back((self.last, parcel));
    }
}
