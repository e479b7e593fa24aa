//! Every core takes frames all the way from the file to their maps, and the network runs among that.
//!
//! ```text
//! CPU   lane: decode -> resample -> network -> find        one lane a core, each with a libtorch thread of its own
//! GPU   lane: decode -> resample -> ask -> find            one lane a core
//!                                   ask --bounded queue--> the thread that owns the GPU: whoever waits, in one batch
//! ```
//! So decoding of some frames runs beside the network on others, no core waits for a layer that another one computes,
//! and of the pixels a few frames a lane are in memory.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tch::{Device, TchError};

use crate::models::{BUCKETS, FrameMaps, Segmenter};
use crate::parallel;

/// Maps of frames.
type Maps = Vec<FrameMaps>;

/// Prepared frames in, their maps out, in the same order.
pub(super) type Network<'a> = dyn Fn(Vec<Vec<f32>>) -> Result<Maps, TchError> + Sync + 'a;

/// One lane's frames, and where it waits for their maps.
struct Asked {
    frames: Vec<Vec<f32>>,
    answer: SyncSender<Result<Maps, TchError>>,
}

/// `work` of every number under `count`, in order, on all cores. It is given the network.
///
/// # Errors
/// The failure of the lowest number that fails.
pub(super) fn run<T: Send, E: Send>(
    segmenter: &Segmenter,
    count: usize,
    work: impl Fn(usize, &Network<'_>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let lanes = parallel::cores();
    if segmenter.device().is_cuda() {
        owned(|frames| segmenter.run(frames), count, lanes, work)
    } else {
        shared(segmenter, count, lanes, work)
    }
}

/// Two things that both run networks: side by side, but on a GPU, which belongs to the calling thread.
pub(super) fn beside<A: Send, B>(
    device: Device,
    one: impl FnOnce() -> A + Send,
    other: impl FnOnce() -> B,
) -> (A, B) {
    if device.is_cuda() {
        return (one(), other());
    }
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one.join();
        (one.unwrap_or_else(|panic| resume_unwind(panic)), other)
    })
}

/// Each lane runs the network itself.
fn shared<T: Send, E: Send>(
    segmenter: &Segmenter,
    count: usize,
    lanes: usize,
    work: impl Fn(usize, &Network<'_>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let network = |frames: Vec<Vec<f32>>| {
        // A setting of the calling thread: the other cores have lanes of their own.
        tch::set_num_threads(1);
        segmenter.run(&frames)
    };
    parallel::try_map(count, lanes, |at| work(at, &network))
}

/// The calling thread runs the network for all lanes. A panic of its ends it: a lost GPU is the process's end.
fn owned<T: Send, E: Send>(
    network: impl Fn(&[Vec<f32>]) -> Result<Maps, TchError>,
    count: usize,
    lanes: usize,
    work: impl Fn(usize, &Network<'_>) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let (sender, asked) = sync_channel(lanes);
    let work = &work;
    // The queue's end is the closure's own: where the network panics it goes, before the lanes that wait for it are joined.
    thread::scope(move |scope| {
        let lanes = scope.spawn(move || {
            let network = |frames| ask(&sender, frames);
            parallel::try_map(count, lanes, |at| work(at, &network))
        });
        let asked = asked;
        answer_all(network, &asked);
        lanes.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn ask(owner: &SyncSender<Asked>, frames: Vec<Vec<f32>>) -> Result<Maps, TchError> {
    let gone = || TchError::Torch("the thread that owns the device is gone".to_owned());
    let (answer, maps) = sync_channel(1);
    owner.send(Asked { frames, answer }).map_err(|_| gone())?;
    maps.recv().map_err(|_| gone())?
}

/// Answers until no lane is left. What waits is run together, as far as a batch goes; nobody waits for a fuller one.
fn answer_all(network: impl Fn(&[Vec<f32>]) -> Result<Maps, TchError>, asked: &Receiver<Asked>) {
    let batch = BUCKETS[BUCKETS.len() - 1];
    while let Ok(first) = asked.recv() {
        let mut waiting = vec![first];
        let mut frames = waiting[0].frames.len();
        while frames < batch
            && let Ok(next) = asked.try_recv()
        {
            frames += next.frames.len();
            waiting.push(next);
        }
        let (inputs, lanes): (Vec<_>, Vec<_>) = waiting
            .into_iter()
            .map(|asked| {
                let count = asked.frames.len();
                (asked.frames, (count, asked.answer))
            })
            .unzip();
        let mut maps = network(&inputs.concat()).map(Vec::into_iter);
        for (count, lane) in lanes {
            let answer = match &mut maps {
                Ok(maps) => Ok(maps.by_ref().take(count).collect()),
                Err(error) => Err(TchError::Torch(error.to_string())),
            };
            // A lane that is gone needs no answer.
            drop(lane.send(answer));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::models::{Models, ModelsError};

    fn models() -> Result<Models, ModelsError> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        Models::load(&dir, Device::Cpu, true)
    }

    /// The area of the largest structure, for frames that are each brighter than the one before.
    fn areas(at: usize, network: &Network<'_>, side: usize) -> Result<Vec<f32>, TchError> {
        let frame = |i: usize| vec![0.02 * (at * 3 + i) as f32; side * side];
        let maps = network((0..3).map(frame).collect())?;
        let sum = |maps: &FrameMaps| maps.lv.values.iter().chain(&maps.la.values).sum();
        Ok(maps.iter().map(sum).collect())
    }

    #[test]
    fn an_owner_answers_what_the_lanes_would_have_found_themselves() {
        let models = models().unwrap();
        let segmenter = models.segmentation();
        let side = segmenter.side();
        let work = |at: usize, network: &Network<'_>| areas(at, network, side);
        let alone = shared(segmenter, 9, 1, work).unwrap();
        assert_eq!(alone, shared(segmenter, 9, 4, work).unwrap());
        let asked = owned(|frames| segmenter.run(frames), 9, 4, work).unwrap();
        for (alone, asked) in alone.iter().flatten().zip(asked.iter().flatten()) {
            // The batches may have other sizes, whose sums are rounded otherwise.
            assert!(
                (alone - asked).abs() <= 1e-3 * alone.abs(),
                "{alone} {asked}"
            );
        }
        assert_ne!(alone[0], alone[8]);
    }

    #[test]
    fn a_lane_that_fails_ends_the_owner_too() {
        let models = models().unwrap();
        let fail = |at: usize, network: &Network<'_>| match at {
            3 => Err("broken".to_owned()),
            _ => areas(at, network, models.segmentation().side()).map_err(|e| e.to_string()),
        };
        let failed = owned(|frames| models.segmentation().run(frames), 9, 4, fail);
        assert_eq!(failed, Err("broken".to_owned()));
    }

    #[test]
    fn an_owner_that_panics_leaves_no_lane_waiting() {
        let network = |_: &[Vec<f32>]| panic!("the device is lost");
        let work = |_: usize, network: &Network<'_>| network(vec![Vec::new()]).map(drop);
        let ended = std::panic::catch_unwind(|| owned(network, 9, 4, work).is_ok());
        assert!(ended.is_err());
    }
}
