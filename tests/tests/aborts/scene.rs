//! A node, a cart and a PACS that are brought to a moment and held there, by a worker that is stopped and a shut door
//! before the PACS, so that whoever watches a thread misses nothing of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sonode_tests::cart::{Cart, Proposal};
use sonode_tests::dcmtk::{STORE_SCP, StoreScp};
use sonode_tests::gate::Gate;
use sonode_tests::load;
use sonode_tests::node::{AE_TITLE, CART, Config, Node, StoppedWorkers, files_under};
use sonode_tests::part10::Object;
use sonode_tests::promises::{
    current_report, reports_by_study, stored_as_sent, stored_by_instance, story,
};
use sonode_tests::samples;
use sonode_tests::strace::{self, Abort, Tracer};
use sonode_tests::wait::eventually;

use super::points::Moment;

const SOON: Duration = Duration::from_mins(1);
const DONE: Duration = Duration::from_mins(2);

/// The study that every node here gets: a clip that is measured, and a still that isn't.
pub(crate) struct Study {
    uid: String,
    files: [PathBuf; 2],
    objects: [Object; 2],
}

impl Study {
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let files = samples::phantom_of("a4c,still", 11, folder)?.files;
        let files: [PathBuf; 2] = files.try_into().ok().context("not a clip and a still")?;
        let [clip, still] = &files;
        Ok(Self {
            uid: load::study_of(clip)?,
            objects: [Object::read(clip)?, Object::read(still)?],
            files,
        })
    }
}

pub(crate) struct Scene<'a> {
    study: &'a Study,
    // In this order: a worker that is stopped would outlive its node.
    worker: Option<StoppedWorkers>,
    node: Node,
    door: Gate,
    pacs: StoreScp,
    cart: Option<Cart>,
    acknowledged: [bool; 2],
}

impl<'a> Scene<'a> {
    pub(crate) fn new(study: &'a Study) -> Result<Self> {
        // Every object is kept under a name of its own, so that one that comes twice is there twice.
        let (pacs, port) = StoreScp::start_anywhere(&["-uf"])?;
        let door = Gate::before(SocketAddr::from(([127, 0, 0, 1], port)))?;
        let node = Node::start(&Config::with_pacs(door.port(), STORE_SCP))?;
        Ok(Self {
            study,
            worker: Some(node.stop_worker()?),
            node,
            door,
            pacs,
            cart: None,
            acknowledged: [false; 2],
        })
    }

    /// Goes to a moment; a start is there at once, and what comes before the last abort is the caller's.
    pub(crate) fn reach(&mut self, moment: Moment) -> Result<()> {
        match moment {
            Moment::Receiving => self.associate(),
            Moment::Analysing => {
                self.reach(Moment::Receiving)?;
                self.send()?;
                self.has_jobs(2)
            }
            Moment::Delivering => {
                self.reach(Moment::Analysing)?;
                self.proceed(Moment::Analysing)?;
                self.door.is_called(SOON)
            }
            Moment::Starting => Ok(()),
            Moment::Resuming => {
                self.door.shut();
                self.node.restart()?;
                self.door.is_called(SOON)
            }
        }
    }

    /// Lets go what was held. What a dying node doesn't take is sent later.
    pub(crate) fn proceed(&mut self, from: Moment) -> Result<()> {
        match from {
            Moment::Receiving => {
                self.send().ok();
                Ok(())
            }
            Moment::Analysing => {
                let worker = self.worker.take().context("the worker isn't stopped")?;
                worker.go_on()
            }
            Moment::Starting => Ok(()),
            Moment::Delivering | Moment::Resuming => {
                self.door.open();
                Ok(())
            }
        }
    }

    /// Waits until what begins with a moment has come to the next one.
    pub(crate) fn pass(&mut self, moment: Moment) -> Result<()> {
        match moment {
            Moment::Receiving => {
                ensure!(self.acknowledged == [true; 2], "not all was acknowledged");
                self.has_jobs(2)
            }
            Moment::Analysing => self.door.is_called(SOON),
            Moment::Starting => self.node.ready(),
            Moment::Delivering | Moment::Resuming => {
                self.node.study_done(&self.study.uid, DONE)?;
                self.node.terminate().map(drop)
            }
        }
    }

    /// Watches the threads of this name, from now on.
    pub(crate) fn watch(
        &self,
        thread: &str,
        calls: &[&str],
        abort: Option<Abort>,
    ) -> Result<Tracer> {
        let threads = strace::threads(self.node.pid()?, thread)?;
        ensure!(!threads.is_empty(), "no thread is called {thread}");
        Tracer::attach(&threads, calls, abort)
    }

    /// Starts the node with its main thread watched.
    pub(crate) fn start_watched(&mut self, calls: &[&str], abort: Option<Abort>) -> Result<Tracer> {
        let (tracer, by) = Tracer::starting(calls, abort)?;
        self.node.spawn_by(by)?;
        Ok(tracer)
    }

    /// Waits until the node is killed, and takes away what went with it.
    pub(crate) fn dies(&mut self) -> Result<()> {
        let status = self.node.ended(SOON).context("it was not aborted")?;
        ensure!(!status.success() && status.code().is_none(), "{status}");
        self.worker = None;
        self.cart = None;
        self.door.open();
        Ok(())
    }

    /// Starts the node again, sends what was not acknowledged and waits for the end. Gives the time to readiness.
    pub(crate) fn settle(&mut self) -> Result<Duration> {
        let started = Instant::now();
        self.node.restart()?;
        let ready = started.elapsed();
        if self.acknowledged.contains(&false) {
            self.associate()?;
            self.send()?;
        }
        self.done()
            .and_then(|done| self.keeps_its_promises(&done))
            .with_context(|| story(&self.node, &self.study.uid).unwrap_or_default())?;
        Ok(ready)
    }

    /// Waits until everything was looked at and nothing is owed. A study that ended without an image is done until one
    /// that came later was measured.
    fn done(&self) -> Result<Value> {
        eventually("the study to be done, with all of it", DONE, || {
            let study = self.node.study(&self.study.uid)?;
            Ok(study.filter(|study| {
                let is_seen = |object: &Object| {
                    let instance = Node::instance(study, &object.sop_instance);
                    instance.is_ok_and(|i| i.get("state") != Some(&Value::from("stored")))
                };
                let is_done = study.get("done") == Some(&Value::Bool(true));
                is_done && self.study.objects.iter().all(is_seen)
            }))
        })
    }

    /// Every instance as it was sent, no healthy one given up, one current report at the PACS, no UID with two contents.
    fn keeps_its_promises(&self, done: &Value) -> Result<()> {
        let uid = &self.study.uid;
        ensure!(
            done.get("state").and_then(Value::as_str) == Some("reported"),
            "{done}"
        );
        let [clip, still] = self.study.objects.each_ref();
        let rejected = |object: &Object| Node::rejection(done, &object.sop_instance);
        ensure!(rejected(clip)?.is_none(), "{done}");
        ensure!(rejected(still)?.as_deref() == Some("not-a-cine"), "{done}");
        let stored = stored_by_instance(&self.node)?;
        for file in &self.study.files {
            stored_as_sent(&stored, file)?;
        }
        let left = files_under(&self.node.data_dir().join("incoming"))?;
        ensure!(left.is_empty(), "left behind: {left:?}");
        let reports = reports_by_study(&self.pacs.received()?)?;
        let ours = reports.get(uid).context("no report")?;
        current_report(&self.node, uid, ours)?;
        ensure!(reports.len() == 1, "of other studies: {:?}", reports.keys());
        // A report names the one that it takes the place of; nothing else in it has that UID.
        let current = ours.keys().filter(|uid| {
            let mut others = ours.values().filter(|other| other.sop_instance != **uid);
            !others.any(|other| names(other, uid))
        });
        let current: Vec<&String> = current.collect();
        ensure!(current.len() == 1, "current reports: {current:?}");
        Ok(())
    }

    /// A line of strace's with this scene's paths and UIDs in words that are the same in every scene.
    pub(crate) fn in_words(&self, line: &str) -> String {
        let data = self.node.data_dir();
        let [clip, still] = self.study.objects.each_ref();
        let mut line = line
            .replace(&data.display().to_string(), "DATA")
            .replace(&self.study.uid, "STUDY")
            .replace(&clip.sop_instance, "CLIP")
            .replace(&still.sop_instance, "STILL");
        for (folder, length, word) in [("DATA/open/", 2, "HH"), ("DATA/done/", 8, "DAY")] {
            let starts: Vec<usize> = line.match_indices(folder).map(|(at, _)| at).collect();
            for at in starts.into_iter().rev() {
                let start = at + folder.len();
                let name = line.get(start..start + length).unwrap_or_default();
                if name.bytes().all(|byte| byte.is_ascii_hexdigit()) && name.len() == length {
                    line.replace_range(start..start + length, word);
                }
            }
        }
        line
    }

    fn associate(&mut self) -> Result<()> {
        let proposals = self.study.objects.each_ref().map(Proposal::for_object);
        let cart = Cart::associate(self.node.address(), AE_TITLE, CART, &proposals)?;
        self.cart = Some(cart);
        Ok(())
    }

    /// Sends what was not acknowledged yet, the clip first.
    fn send(&mut self) -> Result<()> {
        let mut cart = self.cart.take().context("no association")?;
        for (object, acknowledged) in self.study.objects.iter().zip(&mut self.acknowledged) {
            if !*acknowledged {
                let answer = cart.store(object)?;
                ensure!(answer.status == 0, "{answer:?}");
                *acknowledged = true;
            }
        }
        cart.release()
    }

    fn has_jobs(&self, jobs: u64) -> Result<()> {
        eventually("the jobs to be at the worker", SOON, || {
            let health = self.node.http().json("/api/v1/health")?;
            let running = health.pointer("/queue/instances_running");
            Ok((running.and_then(Value::as_u64) == Some(jobs)).then_some(()))
        })
    }
}

/// Whether a UID is in an object's data set.
fn names(object: &Object, uid: &str) -> bool {
    let mut windows = object.data_set.windows(uid.len());
    windows.any(|window| window == uid.as_bytes())
}
