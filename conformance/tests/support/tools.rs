//! The validators as functions: a file in, its complaints out. A tool that is missing fails the test; it never skips it.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sonode_sr_writer::Document;

/// The one error that PixelMed's 2022 template has and that stays: its context group 100 knows no echocardiogram,
/// while CID 100 is extensible and PS3.16 has the code in CID 12001.
const KNOWN_PIXELMED: &str = "not found in context group 100";

/// Row 2 of TID 300 takes any modifier, so PixelMed finds the method and the derivation of rows 3 and 4 in it too, and
/// whichever comes last out of order.
const KNOWN_PIXELMED_ORDER: &str = "Template 300 Measurement/[Row 1] NUM */[Row 2] CODE *";

/// Rows 9 and 10 of TID 300 take any number that the measurement is inferred from, so PixelMed finds the uncertainties
/// of TID 310's row 5 (CID 225) in them too and expects their relationship and order.
const KNOWN_PIXELMED_PROPERTY: &str = "measurement uncertainty\"): ";

/// What DCMTK 3.6.7 says of every object that needs more than Latin alphabet No. 1, or whose class requires a template:
/// it speaks of the tool, not of the object.
const KNOWN_DSRDUMP: [&str; 3] = [
    "W: Check for template constraints not yet supported",
    "W: The VR checker does not support this Specific Character Set: ISO_IR 144",
    "W: The VR checker does not support this Specific Character Set: ISO_IR 192",
];

/// `dciodvfy -new`, Debian's and the peers' one: their errors. No version of it checks templates.
pub(crate) fn dciodvfy(file: &Path) -> Vec<String> {
    dciodvfy_of(file, &["SR", "KeyObjectSelectionDocument"])
}

/// The same of an object whose IOD's name, as dciodvfy has it, ends in one of these.
pub(crate) fn dciodvfy_of(file: &Path, iods: &[&str]) -> Vec<String> {
    let of_peers = interpreter(Path::new(env!("CARGO_MANIFEST_DIR"))).with_file_name("dciodvfy");
    let programs = [PathBuf::from("dciodvfy"), of_peers];
    let complaints = programs.iter().flat_map(|program| {
        let program = program.to_string_lossy();
        let output = run(&program, [OsStr::new("-new"), file.as_os_str()]);
        let text = text(&output);
        let names = |line: &str| iods.iter().any(|iod| line.ends_with(iod));
        assert!(
            text.lines().any(names),
            "{program} recognised none of {iods:?} in {}:\n{text}",
            file.display()
        );
        matching(&text, |line| line.starts_with("Error"))
    });
    complaints.collect()
}

/// `dsrdump`: its warnings and errors, and its exit status where it isn't 0.
pub(crate) fn dsrdump(file: &Path) -> Vec<String> {
    let output = run("dsrdump", [file.as_os_str()]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut complaints = matching(&stderr, |line| !KNOWN_DSRDUMP.contains(&line));
    if !output.status.success() {
        complaints.push(format!("dsrdump: {}", output.status));
    }
    complaints
}

/// What PixelMed's release of 2022 can say of a report.
#[derive(Debug, Clone, Copy)]
pub(crate) enum PixelMedKnows {
    /// It has the template, and checks the tree against it.
    Template(&'static str),
    /// It has the SOP class's relationships and value types, and no template: of the echo reports it knows none.
    ClassAlone(&'static str),
}

/// What it can say of a document; none of Simplified Adult Echo SR, which it doesn't know.
pub(crate) fn pixelmed_knows(document: Document) -> Option<PixelMedKnows> {
    match document {
        Document::MeasurementReport => Some(PixelMedKnows::Template("Root Template TID_1500")),
        Document::KeyObject => Some(PixelMedKnows::Template("Root Template TID_2010")),
        Document::EchoReport => Some(PixelMedKnows::ClassAlone("ComprehensiveSR IOD")),
        Document::SimplifiedEchoReport => None,
    }
}

/// PixelMed's `DicomSRValidator`, the only checker of templates: its errors, and its warnings about the order of rows.
/// Its exit status is 0 whatever it finds.
pub(crate) fn pixelmed(file: &Path, about: PixelMedKnows) -> Vec<String> {
    let mut command = Command::new("java");
    command
        // The style sheet is 6 MB of XPath, run once: neither the optimising compiler nor a parallel collector pays.
        .args([
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xmx2g",
            "-Xss64m",
        ])
        .args([
            "-Djdk.xml.xpathExprOpLimit=0",
            "-Djdk.xml.xpathTotalOpLimit=0",
            "-Djdk.xml.xpathExprGrpLimit=0",
        ])
        .arg("-cp")
        .arg(pixelmed_class_path())
        .arg("com.pixelmed.validate.DicomSRValidator")
        .args(["-checktemplateid", "-checkcontentitemorder"])
        .arg(file);
    let stdout = text_of(&finish("java", &mut command).stdout);
    assert!(
        stdout.contains("IOD validation complete"),
        "PixelMed did not finish with {}:\n{stdout}",
        file.display()
    );
    let mut complaints = matching(&stdout, |line| {
        let error = line.starts_with("Error") || line.contains("illegal relationship");
        let order = line.contains("not in template row order");
        let is_property =
            line.contains(KNOWN_PIXELMED_PROPERTY) && line.contains("[Row 1] NUM */[Row ");
        let known = (error && line.contains(KNOWN_PIXELMED))
            || (order && line.contains(KNOWN_PIXELMED_ORDER))
            || is_property;
        (error || order) && !known
    });
    let (PixelMedKnows::Template(what) | PixelMedKnows::ClassAlone(what)) = about;
    if !stdout.contains(&format!("Found {what}")) {
        complaints.push(format!("PixelMed found no {what}"));
    }
    complaints
}

fn pixelmed_class_path() -> String {
    let folder = Path::new("/usr/share/java");
    let names = [
        "pixelmed",
        "commons-codec",
        "commons-net",
        "hsqldb",
        "javax.json",
        "jaxb-api",
        "jmdns",
        "slf4j-api",
        "slf4j-nop",
        "vecmath",
    ];
    let jars: Vec<PathBuf> = names
        .iter()
        .map(|name| folder.join(format!("{name}.jar")))
        .filter(|jar| jar.exists())
        .collect();
    assert!(
        jars.first()
            .is_some_and(|jar| jar.ends_with("pixelmed.jar")),
        "PixelMed (libpixelmed-java) is not installed: `make test` installs it"
    );
    let jars: Vec<String> = jars.iter().map(|jar| jar.display().to_string()).collect();
    jars.join(":")
}

/// Runs a script of `tests/peers` with the Python that has highdicom and pydicom; what it prints is JSON.
pub(crate) fn python(script: &str, arguments: &[&Path]) -> serde_json::Value {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = interpreter(manifest);
    let mut command = Command::new(&program);
    command
        .arg(manifest.join("tests/peers").join(script))
        .args(arguments);
    let output = finish(&program.display().to_string(), &mut command);
    let stderr = text_of(&output.stderr);
    assert!(
        !stderr.contains("ModuleNotFoundError"),
        "{} lacks a package: `make test` installs it\n{stderr}",
        program.display()
    );
    assert!(output.status.success(), "{script} failed:\n{stderr}");
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{script} printed no JSON: {e}\n{stderr}"))
}

fn interpreter(manifest: &Path) -> PathBuf {
    let installed = manifest.join("../.peers/bin/python");
    if installed.exists() {
        return installed;
    }
    std::env::var_os("SONODE_PEERS_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Output {
    finish(program, Command::new(program).args(arguments))
}

fn finish(program: &str, command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("{program} is not installed: `make test` installs it")
        }
        Err(e) => panic!("{program} could not be run: {e}"),
    }
}

fn text(output: &Output) -> String {
    format!("{}\n{}", text_of(&output.stdout), text_of(&output.stderr))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn matching(text: &str, is_complaint: impl Fn(&str) -> bool) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim().is_empty() && is_complaint(line))
        .map(str::to_owned)
        .collect()
}
