//! `phantom`: a synthetic study on disk, with its truth.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;
use sonode_phantom::anatomy::View;
use sonode_phantom::cine::Study;
use sonode_phantom::dicom::{Identity, write};
use sonode_phantom::spec::{StudySpec, Subject};
use sonode_phantom::style::Style;

/// Arguments of `phantom`.
#[derive(Debug, Args)]
pub(super) struct PhantomArgs {
    /// Everything follows from it: heart, machine, noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Folder for the .dcm files and truth.json; it is made if it is missing
    #[arg(long)]
    out: PathBuf,
    /// What the study's instances show
    #[arg(long, value_enum, value_delimiter = ',', default_value = "a4c")]
    study_of: Vec<Shown>,
    /// The simulated machine
    #[arg(long, value_enum, default_value = "a")]
    style: Machine,
    /// Frames of each cine
    #[arg(long, default_value_t = 60)]
    frames: u32,
    /// Forces the ejection fraction, percent
    #[arg(long)]
    lvef: Option<f32>,
    /// Goes into every UID, so that one seed can give several studies
    #[arg(long, default_value_t = 0)]
    salt: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shown {
    A4c,
    A2c,
    Plax,
    ShortAxis,
    ColourDoppler,
    MMode,
    Still,
    Blank,
    Noise,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Machine {
    A,
    B,
    C,
    D,
}

impl Shown {
    fn subject(self) -> Subject {
        match self {
            Self::A4c => Subject::Apical(View::A4c),
            Self::A2c => Subject::Apical(View::A2c),
            Self::Plax => Subject::Plax,
            Self::ShortAxis => Subject::ShortAxis,
            Self::ColourDoppler => Subject::ColourDoppler,
            Self::MMode => Subject::MMode,
            Self::Still => Subject::Still,
            Self::Blank => Subject::Blank,
            Self::Noise => Subject::Noise,
        }
    }
}

impl Machine {
    fn style(self) -> Style {
        match self {
            Self::A => Style::A,
            Self::B => Style::B,
            Self::C => Style::C,
            Self::D => Style::D,
        }
    }
}

/// `truth.json`: what is known of each instance. What can't be measured has nulls.
#[derive(Debug, Serialize)]
struct TruthFile {
    seed: u64,
    study_instance_uid: String,
    instances: Vec<InstanceTruth>,
}

#[derive(Debug, Serialize)]
struct InstanceTruth {
    file: String,
    sop_instance_uid: String,
    edv_ml: Option<f32>,
    esv_ml: Option<f32>,
    lvef_percent: Option<f32>,
    heart_rate_bpm: Option<f32>,
    tilt_degrees: Option<f32>,
    /// End-diastolic and end-systolic frame of each complete beat, from 1.
    beats: Vec<[u32; 2]>,
}

/// Renders and writes the study.
pub(super) fn run(args: &PhantomArgs) -> anyhow::Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    let mut truth = TruthFile {
        seed: args.seed,
        study_instance_uid: String::new(),
        instances: Vec::new(),
    };
    for (number, shown) in (1..).zip(&args.study_of) {
        let mut spec = StudySpec::of(args.seed, args.style.style(), shown.subject());
        spec.frames = args.frames;
        spec.lvef_percent = args.lvef;
        let study = Study::generate(&spec);
        let identity = Identity {
            instance_number: number,
            salt: args.salt,
            ..Identity::default()
        };
        let name = format!("{number:02}.dcm");
        let path = args.out.join(&name);
        let file = File::create(&path).with_context(|| format!("making {}", path.display()))?;
        let uids = write(&study, &identity, BufWriter::new(file))
            .with_context(|| format!("writing {}", path.display()))?;
        println!("{}", path.display());
        uids.study
            .as_str()
            .clone_into(&mut truth.study_instance_uid);
        truth
            .instances
            .push(instance(name, uids.instance.as_str(), &study));
    }
    let path = args.out.join("truth.json");
    let json = serde_json::to_string_pretty(&truth)?;
    fs::write(&path, json).with_context(|| format!("writing {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

fn instance(file: String, sop_instance_uid: &str, study: &Study) -> InstanceTruth {
    let truth = study.truth();
    InstanceTruth {
        file,
        sop_instance_uid: sop_instance_uid.to_owned(),
        edv_ml: truth.map(|truth| truth.edv_ml),
        esv_ml: truth.map(|truth| truth.esv_ml),
        lvef_percent: truth.map(|truth| truth.lvef_percent),
        heart_rate_bpm: truth.map(|truth| truth.heart_rate),
        tilt_degrees: truth.map(|truth| truth.tilt_degrees),
        beats: truth.map_or_else(Vec::new, |truth| {
            truth
                .beats
                .iter()
                .map(|beat| [beat.ed_frame, beat.es_frame])
                .collect()
        }),
    }
}
