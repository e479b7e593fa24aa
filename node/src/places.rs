//! The places of `max_associations`: who has one, and who has to make room when all are taken.
//!
//! Carts hold associations open for a whole examination and say nothing between two loops. One cart may have every
//! place as long as nobody else wants one. When the node is full and a peer calls that has less than its share, the
//! peer that has the most gives up the association that has been idle longest.
//!
//! [`Table`] decides, without a clock or a thread. [`Places`] lets the association that has to go answer for itself:
//! its own thread alone knows whether a message has just begun, and a message is never cut for this. So the newcomer
//! waits for that answer, at most [`ANSWER`].

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a newcomer waits for a place. An idle association looks up every half second.
const ANSWER: Duration = Duration::from_secs(3);

/// What a full node goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// Associations that may stand.
    pub(crate) max: usize,
    /// Idle for less than this, an association keeps its place.
    pub(crate) idle: Duration,
}

/// One association that stands.
#[derive(Debug)]
struct Place {
    peer: String,
    /// When its last message was dealt with; none inside a message.
    idle_since: Option<Instant>,
    /// The newcomer that gets this place, as soon as its association agrees.
    wanted_by: Option<u64>,
}

/// The answer to a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// It has a place.
    Admitted,
    /// It has the place of this association, if that one agrees.
    After(u64),
    /// Nobody has to make room.
    Full,
}

#[derive(Debug, Default)]
struct Table {
    /// By the association's number.
    places: BTreeMap<u64, Place>,
}

impl Table {
    /// Finds a place for a newcomer.
    fn admit(&mut self, id: u64, peer: &str, rules: Rules, now: Instant) -> Decision {
        let wanted = |place: &&Place| place.wanted_by.is_some();
        let taken = self.places.len() - self.places.values().filter(wanted).count();
        let decision = if taken < rules.max {
            Decision::Admitted
        } else if let Some(leaver) = self.leaver(peer, rules, now) {
            if let Some(place) = self.places.get_mut(&leaver) {
                place.wanted_by = Some(id);
            }
            Decision::After(leaver)
        } else {
            return Decision::Full;
        };
        let place = Place {
            peer: peer.to_owned(),
            idle_since: None,
            wanted_by: None,
        };
        self.places.insert(id, place);
        decision
    }

    /// Who has to make room for one more of `peer`: of the peers over their share, the one that has the most; of its
    /// associations, the one that has been idle longest.
    ///
    /// The share is what everyone gets when the places are divided among the peers that have or want one, rounded down.
    /// A peer that has none gets one whatever the share is, so with more peers than places the idle one goes.
    fn leaver(&self, peer: &str, rules: Rules, now: Instant) -> Option<u64> {
        let mut held: BTreeMap<&str, usize> = BTreeMap::from([(peer, 0)]);
        let staying = || {
            let is_staying = |(_, place): &(&u64, &Place)| place.wanted_by.is_none();
            self.places.iter().filter(is_staying)
        };
        for (_, place) in staying() {
            *held.entry(&place.peer).or_default() += 1;
        }
        let share = rules.max / held.len();
        let of = |name: &str| held.get(name).copied().unwrap_or_default();
        if of(peer) > 0 && of(peer) >= share {
            return None;
        }
        staying()
            .filter(|(_, place)| place.peer != peer && of(&place.peer) > share)
            .filter_map(|(id, place)| Some((id, place, place.idle_since?)))
            .filter(|(.., since)| now.saturating_duration_since(*since) >= rules.idle)
            .min_by_key(|(_, place, since)| (std::cmp::Reverse(of(&place.peer)), *since))
            .map(|(id, ..)| *id)
    }

    /// A message began, or the last one was dealt with. What has begun a message keeps its place.
    fn set_busy(&mut self, id: u64, busy: bool, now: Instant) {
        if let Some(place) = self.places.get_mut(&id) {
            place.idle_since = (!busy).then_some(now);
            place.wanted_by = None;
        }
    }

    fn is_wanted(&self, id: u64) -> bool {
        let place = self.places.get(&id);
        place.is_some_and(|place| place.wanted_by.is_some())
    }

    /// Whether `leaver` has not answered `newcomer` yet.
    fn is_asked(&self, leaver: u64, newcomer: u64) -> bool {
        let place = self.places.get(&leaver);
        place.is_some_and(|place| place.wanted_by == Some(newcomer))
    }

    /// Takes back what was asked.
    fn withdraw(&mut self, leaver: u64, newcomer: u64) {
        self.places.remove(&newcomer);
        if let Some(place) = self.places.get_mut(&leaver) {
            place.wanted_by.take_if(|by| *by == newcomer);
        }
    }

    fn held(&self, peer: &str) -> usize {
        self.places.values().filter(|p| p.peer == peer).count()
    }
}

/// The table of a running node.
#[derive(Debug, Default)]
pub(crate) struct Places {
    table: Mutex<Table>,
    /// An association left, or refused to.
    answered: Condvar,
}

impl Places {
    /// Takes a place for an association; none if the node is full and nobody has to make room. It waits where an idle
    /// association is asked to go first.
    pub(crate) fn take(&self, id: u64, peer: &str, rules: Rules) -> bool {
        let until = Instant::now() + ANSWER;
        let mut table = self.lock();
        loop {
            let now = Instant::now();
            let leaver = match table.admit(id, peer, rules, now) {
                Decision::Admitted => return true,
                Decision::Full => return false,
                Decision::After(leaver) => leaver,
            };
            let patience = until.saturating_duration_since(now);
            let waited = self
                .answered
                .wait_timeout_while(table, patience, |table| table.is_asked(leaver, id));
            (table, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if !table.places.contains_key(&leaver) {
                return true;
            }
            let is_silent = table.is_asked(leaver, id);
            table.withdraw(leaver, id);
            if is_silent {
                return false;
            }
            // It has something to do after all: the next one.
        }
    }

    /// The association has ended.
    pub(crate) fn leave(&self, id: u64) {
        self.lock().places.remove(&id);
        self.answered.notify_all();
    }

    /// A message began, or the last one was dealt with.
    pub(crate) fn set_busy(&self, id: u64, busy: bool) {
        let mut table = self.lock();
        let was_wanted = table.is_wanted(id);
        table.set_busy(id, busy, Instant::now());
        if was_wanted {
            self.answered.notify_all();
        }
    }

    /// Whether the association has to make room. To be asked by its own thread, when there is nothing to read.
    pub(crate) fn is_wanted(&self, id: u64) -> bool {
        self.lock().is_wanted(id)
    }

    /// Places that a peer has.
    pub(crate) fn held(&self, peer: &str) -> usize {
        self.lock().held(peer)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    fn rules(max: usize) -> Rules {
        Rules { max, idle: IDLE }
    }

    /// A full table: one association for each name, number and idle time as in the list; none is inside a message.
    fn full(list: &[(&str, Option<u64>)], now: Instant) -> Table {
        let mut table = Table::default();
        for (id, (peer, idle_s)) in (0..).zip(list) {
            let admitted = table.admit(id, peer, rules(list.len()), now);
            assert_eq!(admitted, Decision::Admitted);
            if let Some(idle_s) = idle_s {
                table.set_busy(id, false, before(now, Duration::from_secs(*idle_s)));
            }
        }
        table
    }

    /// A moment with an hour before it, however shortly ago the machine started.
    fn an_hour_on() -> Instant {
        Instant::now() + Duration::from_hours(1)
    }

    fn before(now: Instant, by: Duration) -> Instant {
        now.checked_sub(by).unwrap()
    }

    #[test]
    fn one_peer_alone_has_every_place_and_no_more() {
        let now = an_hour_on();
        let mut table = full(&[("a", Some(90)), ("a", Some(90))], now);
        assert_eq!(table.admit(9, "a", rules(2), now), Decision::Full);
        assert_eq!(table.held("a"), 2);
    }

    #[test]
    fn the_longest_idle_one_of_the_peer_that_has_the_most_goes() {
        let now = an_hour_on();
        let list = [
            ("a", Some(40)),
            ("b", Some(900)),
            ("a", Some(60)),
            ("a", Some(50)),
        ];
        let mut table = full(&list, now);
        assert_eq!(table.admit(9, "c", rules(4), now), Decision::After(2));
        assert!(table.is_asked(2, 9));
        // Its place is given away already: the next newcomer asks another one.
        assert_eq!(table.admit(10, "d", rules(4), now), Decision::After(3));
    }

    #[test]
    fn who_is_inside_a_message_or_was_a_moment_ago_keeps_its_place() {
        let now = an_hour_on();
        let mut table = full(&[("a", None), ("a", Some(29)), ("a", None)], now);
        assert_eq!(table.admit(9, "b", rules(3), now), Decision::Full);
        let later = now + SECOND;
        assert_eq!(table.admit(9, "b", rules(3), later), Decision::After(1));
    }

    #[test]
    fn nobody_goes_for_a_peer_that_has_its_share() {
        let now = an_hour_on();
        let list = [
            ("a", Some(90)),
            ("a", Some(90)),
            ("a", Some(90)),
            ("b", None),
        ];
        let mut table = full(&list, now);
        assert_eq!(table.admit(9, "b", rules(4), now), Decision::After(0));
        table.places.remove(&0);
        assert_eq!(table.admit(10, "b", rules(4), now), Decision::Full);
        // And `a`, which has two of four now, takes none from `b` either.
        table.set_busy(3, false, before(now, IDLE));
        table.set_busy(9, false, before(now, IDLE));
        assert_eq!(table.admit(11, "a", rules(4), now), Decision::Full);
    }

    #[test]
    fn with_more_peers_than_places_the_idle_one_goes() {
        let now = an_hour_on();
        let mut table = full(&[("a", None), ("b", Some(31))], now);
        assert_eq!(table.admit(9, "c", rules(2), now), Decision::After(1));
    }

    #[test]
    fn a_message_that_begins_meanwhile_is_a_refusal() {
        let now = an_hour_on();
        let mut table = full(&[("a", Some(90)), ("a", Some(60))], now);
        assert_eq!(table.admit(9, "b", rules(2), now), Decision::After(0));
        table.set_busy(0, true, now);
        assert!(!table.is_asked(0, 9));
        table.withdraw(0, 9);
        assert_eq!(table.admit(9, "b", rules(2), now), Decision::After(1));
    }

    /// The handshake between threads: the one that is asked first refuses, the second one goes.
    #[test]
    fn the_newcomer_waits_for_an_answer() {
        let places = Places::default();
        let rules = Rules {
            max: 2,
            idle: Duration::ZERO,
        };
        assert!(places.take(1, "a", rules) && places.take(2, "a", rules));
        places.set_busy(1, false);
        places.set_busy(2, false);
        std::thread::scope(|scope| {
            let newcomer = scope.spawn(|| places.take(3, "b", rules));
            while !places.is_wanted(1) {
                std::thread::yield_now();
            }
            places.set_busy(1, true);
            while !places.is_wanted(2) {
                std::thread::yield_now();
            }
            places.leave(2);
            assert!(newcomer.join().unwrap());
        });
        assert_eq!((places.held("a"), places.held("b")), (1, 1));
        assert!(!places.take(4, "a", rules));
    }
}
