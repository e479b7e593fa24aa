//! Carts, a node that dies and comes back, a PACS, and a network that breaks: one schedule, as its seed says.

mod checks;
mod trouble;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sonode_findings::protocol::ToWorker;
use sonode_pipeline::spool::Disk;
use sonode_pipeline::{DeliveryJob, ReportUnmeasured, Route};
use sonode_sr_writer::{Document, Style};
use tempfile::TempDir;

use crate::called::Called;
use crate::caller::Caller;
use crate::cart::{Cart, Clip};
use crate::crash_disk::{CrashDisk, Dice};
use crate::lying_disk::{Lying, Skip};
use crate::network::{End, Host, Network, Parcel};
use crate::pacs::{AtPacs, Pacs, Receiving};
use crate::process::{Process, Sent, SimClock};
use crate::worker::{self, Asked};

/// From then on nothing goes wrong any more, and everything has to come to rest.
const CALM: Duration = Duration::from_secs(200);
/// By then it has.
const END: Duration = Duration::from_mins(50);

/// What happens at a time of its own.
enum Event {
    CartCalls(usize),
    /// The engine looks at the time.
    Tick,
    /// Of this process of the node's, this worker.
    WorkerReady(u64, u64),
    WorkerAnswers(u64, u64, Box<ToWorker>),
    WorkerEnds(u64, u64),
    NodeStarts,
    Trouble(u64, trouble::Trouble),
    PacsFails,
    PacsReturns,
    Calm,
}

/// The end of one process at a chosen place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Death {
    /// Of the first process, or of the one that recovers after it.
    pub(crate) boot: u64,
    /// After so many calls of the disk.
    pub(crate) calls: u64,
}

pub(crate) struct World {
    dice: Dice,
    now: Duration,
    began: Instant,
    clock: SimClock,
    agenda: BTreeMap<(Duration, u64), Event>,
    events: u64,
    network: Network,
    carts: Vec<Cart>,
    cart_ends: BTreeMap<u64, (usize, Caller)>,
    pacs: Pacs,
    pacs_ends: BTreeMap<u64, (Called, Option<Receiving>)>,
    node: Option<Process>,
    /// Which process of the node's this is.
    boot: u64,
    deaths_left: usize,
    /// Besides those.
    death: Option<Death>,
    worker_deaths_left: usize,
    /// The queue was deleted or damaged once, or went back to before what it had flushed.
    queue_was_lost: bool,
    /// The queue as it was when the process began to die.
    frozen_queue: Option<PathBuf>,
    disk: CrashDisk,
    skip: Option<Skip>,
    route: Route,
    sent: Sent,
    folder: TempDir,
}

impl World {
    /// Plays one schedule; says what went wrong.
    pub(crate) fn play(seed: u64, skip: Option<Skip>) -> Result<(), String> {
        let mut world = Self::new(seed, skip);
        world.make_data_dir();
        world.start_node()?;
        world.run()
    }

    /// Plays one schedule in which nothing else happens; says whether it came to that death.
    pub(crate) fn play_death(seed: u64, death: Death) -> Result<bool, String> {
        let mut world = Self::new(seed, None);
        world.deaths_left = 0;
        world.death = Some(death);
        // What becomes of the queue and of what was not synced differs from call to call.
        world.dice = Dice(death.calls);
        if death.boot > 1 {
            world.plan_within(60_000, Event::Trouble(1, trouble::Trouble::Death));
        }
        world.make_data_dir();
        world.start_node()?;
        world.run()?;
        Ok(world.boot > death.boot)
    }

    fn new(seed: u64, skip: Option<Skip>) -> Self {
        let mut dice = Dice(seed);
        let carts = carts(&mut dice);
        let route = Route {
            from: None,
            to: "pacs".to_owned(),
            documents: BTreeSet::from([Document::MeasurementReport]),
            style: Style::default(),
            send_images: dice.below(3) == 0,
            commit: false,
            companions: BTreeSet::new(),
            report_unmeasured: ReportUnmeasured::EchoOnly,
        };
        let memory = std::path::Path::new("/dev/shm");
        // sled alone writes there; the rest is in the double.
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let mut world = Self {
            now: Duration::ZERO,
            began: Instant::now(),
            clock: SimClock::default(),
            agenda: BTreeMap::new(),
            events: 0,
            network: Network::new(),
            carts,
            cart_ends: BTreeMap::new(),
            pacs: Pacs::new(Dice(dice.next())),
            pacs_ends: BTreeMap::new(),
            node: None,
            boot: 0,
            deaths_left: dice.below(4),
            death: None,
            worker_deaths_left: dice.below(3),
            queue_was_lost: false,
            frozen_queue: None,
            disk: CrashDisk::new(),
            skip,
            route,
            sent: Sent::default(),
            folder: folder.unwrap(),
            dice,
        };
        for cart in 0..world.carts.len() {
            world.plan(Duration::ZERO, Event::CartCalls(cart));
        }
        if world.dice.below(3) == 0 {
            world.plan_within(150_000, Event::PacsFails);
        }
        world.plan(CALM, Event::Calm);
        world.plan(Duration::ZERO, Event::Tick);
        world
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The data folder with the node's own UID in it, so that one seed is one schedule.
    fn make_data_dir(&self) {
        let data_dir = self.data_dir();
        let mut folders: Vec<_> = data_dir.ancestors().collect();
        folders.pop();
        for folder in folders.iter().rev() {
            self.disk.make_folder(folder).unwrap();
        }
        let mut file = self.disk.create(&data_dir.join("node-uid")).unwrap();
        file.append([b"2.25.7\n", b""]).unwrap();
        file.sync_data().unwrap();
    }

    fn start_node(&mut self) -> Result<(), String> {
        self.boot += 1;
        let seen: Arc<dyn Disk> = match self.skip {
            Some(skip) => Arc::new(Lying::new(self.disk.clone(), &self.data_dir(), skip)),
            None => Arc::new(self.disk.clone()),
        };
        if let Some(death) = self.death.filter(|death| death.boot == self.boot) {
            self.disk.cut_after(death.calls);
        }
        let node = Process::start(
            seen,
            self.disk.clone(),
            &self.data_dir(),
            self.clock.clone(),
            self.route.clone(),
        );
        self.node = match node {
            Ok(node) => Some(node),
            Err(_) if self.disk.is_cut() => {
                self.die();
                return Ok(());
            }
            Err(error) => return Err(format!("the node doesn't start: {error}")),
        };
        tracing::info!(now = ?self.now, boot = self.boot, "SIM the node is up");
        self.check_spool()?;
        self.plan_trouble();
        self.settle_node();
        Ok(())
    }

    fn plan(&mut self, at: Duration, event: Event) {
        self.events += 1;
        self.agenda.insert((at, self.events), event);
    }

    /// Some time within so many milliseconds.
    fn plan_within(&mut self, millis: usize, event: Event) {
        let wait = Duration::from_millis(self.dice.below(millis) as u64);
        self.plan(self.now + wait, event);
    }

    fn instant(&self) -> Instant {
        self.began + self.now
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            self.now = self.next_time();
            self.clock.set(self.now);
            if self.now > END {
                return Err(format!("no rest: {}", self.unrest()));
            }
            self.carry();
            self.time_out();
            while let Some(entry) = self.agenda.first_entry()
                && entry.key().0 <= self.now
            {
                let event = entry.remove();
                self.take(event)?;
            }
            self.settle_node();
            self.send();
            if let Some(complaint) = self.sent.complaint.take().or(self.pacs.complaint.take()) {
                return Err(complaint);
            }
            if self.now > CALM && self.is_at_rest() {
                self.check_spool()?;
                self.check_list()?;
                return self.check_pacs();
            }
        }
    }

    fn next_time(&self) -> Duration {
        let planned = self.agenda.keys().next().map(|(at, _)| *at);
        let carts = self.cart_ends.values().map(|(_, end)| end.deadline());
        let pacs = self.pacs_ends.values().map(|(end, _)| end.deadline());
        let node = self.node.as_ref().and_then(Process::deadline);
        let deadlines = carts.chain(pacs).flatten().chain(node);
        let deadlines = deadlines.map(|at| at.saturating_duration_since(self.began));
        let next = deadlines.chain(planned).chain(self.network.next_arrival());
        // Never back: an arrival is late by a turn at most.
        next.min().map_or(END, |at| at.max(self.now))
    }

    /// Brings what arrives to whom it is for.
    fn carry(&mut self) {
        let now = self.instant();
        while let Some((link, host, parcel)) = self.network.arrival(self.now) {
            let bytes = match &parcel {
                Parcel::Bytes(bytes) => Some(bytes.as_slice()),
                Parcel::Closed => None,
            };
            match host {
                Host::Node => {
                    if let Some(node) = &mut self.node {
                        node.hear(link, bytes, now, &mut self.sent);
                    }
                    self.settle_node();
                }
                Host::Pacs => {
                    if let Some((end, incoming)) = self.pacs_ends.get_mut(&link) {
                        let pacs = &mut self.pacs;
                        match bytes {
                            Some(bytes) => end.on_bytes(bytes, now, &mut AtPacs { pacs, incoming }),
                            None => end.on_closed(now),
                        }
                    }
                }
                Host::Cart(_) => {
                    if let Some((cart, caller)) = self.cart_ends.get_mut(&link) {
                        let cart = &mut self.carts[*cart];
                        match bytes {
                            Some(bytes) => caller.on_bytes(bytes, now, cart),
                            None => caller.on_closed(now, cart),
                        }
                    }
                }
            }
            self.send();
        }
    }

    fn time_out(&mut self) {
        let now = self.instant();
        if let Some(node) = &mut self.node {
            node.on_timeouts(now, &mut self.sent);
        }
        for (cart, end) in self.cart_ends.values_mut() {
            if end.deadline().is_some_and(|at| at <= now) {
                end.on_timeout(now, &mut self.carts[*cart]);
            }
        }
        for (end, _) in self.pacs_ends.values_mut() {
            if end.deadline().is_some_and(|at| at <= now) {
                end.on_timeout(now);
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::CartCalls(cart) => self.cart_calls(cart),
            Event::Tick => {
                self.operate();
                self.plan_within(5_000, Event::Tick);
            }
            Event::WorkerReady(boot, number) => self.worker_says(boot, number, worker::ready()),
            Event::WorkerAnswers(boot, number, job) => {
                if self.worker_deaths_left > 0 && self.now < CALM && self.dice.below(5) == 0 {
                    self.worker_deaths_left -= 1;
                    self.worker_says(boot, number, worker::ended("signal 11"));
                } else {
                    self.worker_says(boot, number, worker::answer(&job));
                }
            }
            Event::WorkerEnds(boot, number) => {
                self.worker_says(boot, number, worker::ended("killed"));
            }
            Event::NodeStarts => return self.start_node(),
            Event::Trouble(boot, trouble) if boot == self.boot && self.node.is_some() => {
                self.get_into(trouble);
            }
            Event::Trouble(..) => {}
            Event::PacsFails => {
                self.pacs.is_down = true;
                self.pacs_ends.clear();
                let silently = self.dice.below(2) == 0;
                self.network
                    .lose(Host::Pacs, silently, self.now, &mut self.dice);
                self.plan_within(60_000, Event::PacsReturns);
            }
            Event::PacsReturns => self.pacs.is_down = false,
            Event::Calm => {
                self.network.is_bad = false;
                self.pacs.is_moody = false;
                self.pacs.is_down = false;
                self.deaths_left = 0;
                self.disk.set_fault(None);
                let is_poisoned = |node: &Process| node.spool.is_poisoned();
                if self.frozen_queue.is_some() || self.node.as_ref().is_some_and(is_poisoned) {
                    self.die();
                }
            }
        }
        Ok(())
    }

    fn cart_calls(&mut self, number: usize) {
        let cart = &mut self.carts[number];
        if !cart.is_idle || !cart.has_work(self.now) || self.node.is_none() {
            return self.plan_within(5_000, Event::CartCalls(number));
        }
        tracing::info!(now = ?self.now, number, "SIM the cart calls");
        let proposal = cart.call(self.now, &mut self.dice);
        let (from, to) = (Host::Cart(number), Host::Node);
        let link = self.network.connect(from, to, &mut self.dice);
        let now = self.instant();
        let caller = Caller::new(proposal, now);
        self.cart_ends.insert(link, (number, caller));
        if let Some(node) = &mut self.node {
            node.accept(link, now);
        }
        self.plan_within(5_000, Event::CartCalls(number));
    }

    fn worker_says(&mut self, boot: u64, number: u64, event: sonode_pipeline::WorkerEvent) {
        if let Some(node) = self.node.as_ref().filter(|_| boot == self.boot) {
            node.bench.says(number, event);
            self.settle_node();
        }
    }

    /// Lets the engine do all it can do now, unless it dies over it.
    fn settle_node(&mut self) {
        loop {
            let Some(node) = &self.node else {
                return;
            };
            node.settle();
            if self.disk.is_cut() {
                return self.die();
            }
            let (jobs, asked) = (node.jobs(), node.bench.take());
            if jobs.is_empty() && asked.is_empty() {
                return;
            }
            for job in jobs {
                self.deliver(job);
            }
            for one in asked {
                self.work(one);
            }
        }
    }

    fn deliver(&mut self, job: DeliveryJob) {
        let now = self.instant();
        let Some(node) = &mut self.node else {
            return;
        };
        if self.pacs.is_down {
            return node.unreachable(job);
        }
        let (from, to) = (Host::Node, Host::Pacs);
        let link = self.network.connect(from, to, &mut self.dice);
        node.deliver(link, job, now);
        self.pacs_ends.insert(link, (Called::new(now), None));
    }

    fn work(&mut self, asked: Asked) {
        let boot = self.boot;
        match asked {
            Asked::Started(number) => self.plan_within(1_000, Event::WorkerReady(boot, number)),
            Asked::Job(number, job) => {
                let answers = Event::WorkerAnswers(boot, number, Box::new(job));
                self.plan_within(2_000, answers);
            }
            Asked::Killed(number) => self.plan_within(100, Event::WorkerEnds(boot, number)),
        }
    }

    /// Puts on the wire what there is to say, and closes what is over.
    fn send(&mut self) {
        let (now, dice, network) = (self.now, &mut self.dice, &mut self.network);
        if let Some(node) = &mut self.node {
            for (link, is_caller, bytes, is_over) in node.take_outputs() {
                let end = if is_caller { End::Caller } else { End::Called };
                network.send(link, end, &bytes, now, dice);
                if is_over {
                    network.close(link, end, now, dice);
                }
            }
        }
        self.cart_ends.retain(|link, (_, end)| {
            network.send(*link, End::Caller, &end.take_output(), now, dice);
            if end.is_closed() {
                network.close(*link, End::Caller, now, dice);
            }
            !end.is_closed()
        });
        self.pacs_ends.retain(|link, (end, _)| {
            network.send(*link, End::Called, &end.take_output(), now, dice);
            if end.is_closed() {
                network.close(*link, End::Called, now, dice);
            }
            !end.is_closed()
        });
    }
}

/// Two carts with up to three studies; a study may come from both of them, and some of it late.
fn carts(dice: &mut Dice) -> Vec<Cart> {
    let mut clips = [Vec::new(), Vec::new()];
    for study in 0..=dice.below(3) {
        let cart = dice.below(2);
        for number in 0..=dice.below(3) {
            let is_late = dice.below(4) == 0;
            let after = if is_late { 90_000 } else { 0 };
            let at = Duration::from_millis((after + dice.below(60_000)) as u64);
            let is_elsewhere = dice.below(6) == 0;
            let clip = Clip::new(study, number, at, dice);
            clips[if is_elsewhere { 1 - cart } else { cart }].push(clip);
        }
    }
    clips.into_iter().map(Cart::new).collect()
}
