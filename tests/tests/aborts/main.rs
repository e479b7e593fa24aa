//! The node as it ships, aborted at each named point of receive, analysis, report, delivery and recovery: killed by
//! `strace` as it enters the system call, so that the program has no hook for it. A call for each phase and kind, drawn
//! anew each time, or what `SONODE_ABORTS` says: `all`, a number that draws again what it drew, or a part of names.
//!
//! A process that is killed keeps what it has written, so that a missing fsync isn't seen here: for that there are the
//! spool's tests and the simulation, which take away what was not synced.

mod points;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, ensure};
use sonode_tests::dice::dice;
use sonode_tests::reliability;
use sonode_tests::strace::{Abort, is_call};

use points::{Moment, POINTS, Point};
use scene::{Scene, Study};

/// Nodes at once. Most of the time each waits for its study's quiet period.
const LANES: usize = 2;

/// Every call of the points, and its likes: what changes names or makes contents durable is a point wherever a thread of the
/// moment makes it.
const CALLS: [&str; 11] = [
    "openat",
    "pwrite64",
    "sendto",
    "fdatasync",
    "fsync",
    "mkdir",
    "rename",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
];
/// Those of [`CALLS`] of which a point may be one among many.
const MANY: [&str; 2] = ["openat", "pwrite64"];

/// Which of a thread's calls of its name each point is, from 1.
type Found = BTreeMap<&'static str, usize>;

#[test]
fn a_node_that_is_aborted_at_a_named_point_keeps_its_promises() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let study = Study::new(folder.path())?;
    let found = find(&study)?;
    let (chosen, how) = chosen()?;
    let healthy = in_lanes(chosen.clone(), |point| {
        let mut scene = Scene::new(&study)?;
        abort(&mut scene, point, &found)
            .and_then(|()| scene.settle())
            .with_context(|| format!("aborted at \"{}\"", point.name))
    });
    let healthy: Vec<Duration> = healthy.with_context(|| how)?;
    reliability::row(
        "SIGKILL at a named point of receive, analysis, report, delivery and recovery",
        u32::try_from(chosen.len())?,
        "nothing; every study ends with one current report",
        &healthy,
    )
}

/// The points to try, and how to try the same again.
fn chosen() -> Result<(Vec<&'static Point>, String)> {
    let wish = std::env::var("SONODE_ABORTS").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default().as_secs().to_string()
    });
    let how = format!("again with SONODE_ABORTS={wish}");
    println!("{how}");
    let chosen: Vec<&Point> = match wish.parse() {
        Ok(seed) => drawn(seed),
        Err(_) if wish == "all" => POINTS.iter().collect(),
        Err(_) => POINTS.iter().filter(|p| p.name.contains(&wish)).collect(),
    };
    ensure!(!chosen.is_empty(), "no point is called {wish}");
    Ok((chosen, how))
}

/// One point for each moment and call.
fn drawn(seed: u64) -> Vec<&'static Point> {
    let mut kinds: BTreeMap<(Moment, &str), Vec<&'static Point>> = BTreeMap::new();
    for point in POINTS {
        kinds
            .entry((point.moment, point.call))
            .or_default()
            .push(point);
    }
    let draw = |(points, seed): (&Vec<&'static Point>, u64)| {
        let die = dice(seed) % u64::try_from(points.len()).ok()?;
        points.get(usize::try_from(die).ok()?).copied()
    };
    kinds.values().zip(seed..).filter_map(draw).collect()
}

/// Does something for each, a few at a time. Fails with all that failed.
fn in_lanes<N: Send, T: Send>(
    each: impl IntoIterator<Item = N, IntoIter: Send>,
    act: impl Fn(N) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let each = Mutex::new(each.into_iter());
    let next = || each.lock().ok()?.next();
    let results: Vec<Result<T>> = thread::scope(|scope| {
        let lane = || std::iter::from_fn(next).map(&act).collect::<Vec<_>>();
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let ended = lanes.into_iter().map(thread::ScopedJoinHandle::join);
        ended
            .flat_map(|lane| lane.unwrap_or_else(|_| vec![Err(anyhow!("a lane died"))]))
            .collect()
    });
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let bad: Vec<String> = bad
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(bad.is_empty(), "{}", bad.join("\n\n"));
    good.into_iter().collect()
}

/// Lets a study go its way undisturbed from each moment, and finds the points in what the threads call. Fails for a
/// point that isn't there, and for a call that has no name.
fn find(study: &Study) -> Result<Found> {
    let mut found = Found::new();
    // A moment after an abort needs to know that one's place.
    let (after, first): (Vec<_>, Vec<_>) =
        Moment::ALL.into_iter().partition(|m| m.after().is_some());
    for moments in [first, after] {
        let places = in_lanes(moments, |moment| {
            find_from(study, moment, &found).with_context(|| format!("{moment:?}"))
        })?;
        found.extend(places.into_iter().flatten());
    }
    Ok(found)
}

fn find_from(study: &Study, moment: Moment, known: &Found) -> Result<Found> {
    let mut scene = Scene::new(study)?;
    go_before(&mut scene, moment, known)?;
    let points = || POINTS.iter().filter(|point| point.moment == moment);
    let threads: BTreeSet<&str> = points().map(|point| point.thread).collect();
    let mut tracers = Vec::new();
    for thread in threads {
        let tracer = if moment == Moment::Starting {
            scene.start_watched(&CALLS, None)?
        } else {
            scene.watch(thread, &CALLS, None)?
        };
        tracers.push((thread, tracer));
    }
    scene.proceed(moment)?;
    scene.pass(moment)?;
    let mut found = Found::new();
    for (thread, tracer) in tracers {
        let lines = tracer.end()?;
        let lines: Vec<String> = lines.iter().map(|line| scene.in_words(line)).collect();
        let its: Vec<&Point> = points().filter(|point| point.thread == thread).collect();
        found.extend(places(&its, &lines).with_context(|| calls_of_interest(&lines))?);
    }
    Ok(found)
}

/// For whoever has to name a call.
fn calls_of_interest(lines: &[String]) -> String {
    let lines = lines.iter().map(String::as_str);
    let lines: Vec<&str> = lines.filter(|line| matters(line)).collect();
    lines.join("\n")
}

/// Where a thread's points are in its calls.
fn places(points: &[&'static Point], lines: &[String]) -> Result<Found> {
    let mut found = Found::new();
    for call in CALLS {
        let calls: Vec<&String> = lines.iter().filter(|line| is_call(line, call)).collect();
        let mut named = BTreeSet::new();
        for point in points.iter().filter(|point| point.call == call) {
            let mut fitting = (1..)
                .zip(&calls)
                .filter(|(_, line)| line.contains(point.holds));
            let (place, _) = fitting
                .nth(point.which - 1)
                .with_context(|| format!("\"{}\" was not reached", point.name))?;
            found.insert(point.name, place);
            named.insert(place);
        }
        let nameless = (1..)
            .zip(&calls)
            .find(|(place, line)| !MANY.contains(&call) && matters(line) && !named.contains(place));
        if let Some((_, line)) = nameless {
            return Err(anyhow!("a call that is no point: {line}"));
        }
    }
    Ok(found)
}

/// Whether a call did something to the spool or told a peer something.
fn matters(line: &str) -> bool {
    let succeeded = !line.contains(" = -1 ");
    let is_spool = line.contains("DATA") && !line.contains("DATA/queue");
    // Whichever thread is asked to end the node tells the runtime so, by one byte.
    let is_told = is_call(line, "sendto") && !line.contains(r#""\1", 1,"#);
    succeeded && (is_spool || is_told)
}

/// The lives before the one that a moment is in.
fn go_before(scene: &mut Scene, moment: Moment, found: &Found) -> Result<()> {
    if let Some(point) = moment.after() {
        abort(scene, point, found)?;
    }
    scene.reach(moment)
}

/// Brings the node to a point and lets it die there.
fn abort(scene: &mut Scene, point: &Point, found: &Found) -> Result<()> {
    let nth = *found.get(point.name).context("its place isn't known")?;
    let abort = Abort {
        call: point.call,
        nth,
    };
    go_before(scene, point.moment, found)?;
    let tracer = if point.moment == Moment::Starting {
        scene.start_watched(&[point.call], Some(abort))?
    } else {
        scene.watch(point.thread, &[point.call], Some(abort))?
    };
    scene.proceed(point.moment)?;
    scene.dies()?;
    let line = scene.in_words(&tracer.killed_at(abort)?);
    ensure!(line.contains(point.holds), "it died elsewhere: {line}");
    Ok(())
}
