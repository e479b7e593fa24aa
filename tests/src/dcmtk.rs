//! DCMTK's programs: the cart (`echoscu`, `storescu`, `dcmsend`), a PACS that misbehaves (`storescp`), and readers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::node::{AE_TITLE as SONODE, CART, files_under};
use crate::paths;
use crate::process::{Daemon, Run};
use crate::wait::{free_port, listening};

const START: Duration = Duration::from_secs(30);

/// Runs a DCMTK client against a node, as the known cart: its own arguments, the address, then the files.
pub fn client(program: &str, at: SocketAddr, arguments: &[&str], files: &[PathBuf]) -> Result<Run> {
    Run::of(&mut client_command(program, at, arguments, files))
}

/// The same, not run yet.
pub fn client_command(
    program: &str,
    at: SocketAddr,
    arguments: &[&str],
    files: &[PathBuf],
) -> Command {
    let mut command = Command::new(program);
    command
        .args(["-v", "-aec", SONODE, "-aet", CART])
        .args(arguments)
        .arg(at.ip().to_string())
        .arg(at.port().to_string())
        .args(files);
    command
}

/// `echoscu` with these arguments. A repeated option of a title replaces the default one.
pub fn echoscu(at: SocketAddr, arguments: &[&str]) -> Result<Run> {
    client("echoscu", at, arguments, &[])
}

/// `storescu` with these arguments.
pub fn storescu(at: SocketAddr, arguments: &[&str], files: &[PathBuf]) -> Result<Run> {
    client("storescu", at, arguments, files)
}

/// `dcmsend`, which proposes each file's own transfer syntax.
pub fn dcmsend(at: SocketAddr, files: &[PathBuf]) -> Result<Run> {
    client("dcmsend", at, &["--decompress-never"], files)
}

/// The validators that every report has to pass (SR facts: each of them catches what the others let through).
pub fn validate_report(file: &Path) -> Result<()> {
    let dsrdump = Run::of(Command::new("dsrdump").arg(file))?.success()?;
    // Of a class that requires a template DCMTK says this whatever is in it.
    let known = "W: Check for template constraints not yet supported";
    for line in dsrdump.text().lines().filter(|line| *line != known) {
        ensure!(
            !line.starts_with("W:") && !line.starts_with("E:"),
            "dsrdump: {}",
            dsrdump.text()
        );
    }
    let errors = dciodvfy(file)?;
    ensure!(errors.is_empty(), "dciodvfy: {errors:#?}");
    Ok(())
}

/// What dciodvfy calls an error in an object of any kind.
pub fn dciodvfy(file: &Path) -> Result<Vec<String>> {
    let run = Run::of(Command::new(paths::peer("dciodvfy")?).arg("-new").arg(file))?;
    let errors: Vec<String> = run
        .text()
        .lines()
        .filter(|line| line.starts_with("Error"))
        .map(str::to_owned)
        .collect();
    if errors.is_empty() {
        run.success()?;
    }
    Ok(errors)
}

/// A `storescp` that takes everything, or misbehaves as its arguments say. Dropping it kills it.
#[derive(Debug)]
pub struct StoreScp {
    // First, so that it ends before its folder goes.
    _process: Daemon,
    folder: TempDir,
}

/// Its AE title.
pub const STORE_SCP: &str = "STORESCP";

impl StoreScp {
    /// Starts it on a port.
    pub fn start(port: u16, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let received = folder.path().join("received");
        std::fs::create_dir(&received)?;
        let mut command = Command::new("storescp");
        command
            .args(["-v", "-aet", STORE_SCP, "+xa", "-od"])
            .arg(&received)
            .args(arguments)
            .arg(port.to_string());
        let daemon = Daemon::start(&mut command, &folder.path().join("storescp.log"))?;
        listening("storescp", SocketAddr::from(([127, 0, 0, 1], port)), START)?;
        Ok(Self {
            _process: daemon,
            folder,
        })
    }

    /// Starts it on a free port, and says which.
    pub fn start_anywhere(arguments: &[&str]) -> Result<(Self, u16)> {
        let port = free_port()?;
        Ok((Self::start(port, arguments)?, port))
    }

    /// The files that it has received.
    pub fn received(&self) -> Result<Vec<PathBuf>> {
        files_under(&self.folder.path().join("received"))
    }

    /// How many associations it has accepted.
    pub fn associations(&self) -> Result<usize> {
        let log = std::fs::read_to_string(self.folder.path().join("storescp.log"))?;
        Ok(log.matches("Association Acknowledged").count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cart::{Cart, Proposal, VERIFICATION};
    use crate::part10::{EXPLICIT_LITTLE, IMPLICIT_LITTLE, Object};
    use crate::samples;

    #[test]
    fn the_harness_own_cart_is_understood_by_dcmtk() {
        let (scp, port) = StoreScp::start_anywhere(&[]).unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let file = samples::pydicom("examples_rgb_color.dcm").unwrap();
        let object = Object::read(&file).unwrap();
        let proposals = [
            Proposal::new(VERIFICATION, &[IMPLICIT_LITTLE]),
            Proposal::for_object(&object),
            Proposal::new("1.2.3.4", &[EXPLICIT_LITTLE]),
        ];
        let mut cart = Cart::associate(at, STORE_SCP, CART, &proposals).unwrap();
        let results: Vec<u8> = cart.answers.iter().map(|answer| answer.result).collect();
        assert_eq!(results, [0, 0, 3]);
        assert_eq!(cart.echo().unwrap(), 0);
        let mut sending = cart.begin(&object, &object.sop_instance).unwrap();
        sending.send(1000).unwrap();
        assert_eq!(sending.left(), object.data_set.len() - 1000);
        sending.send(usize::MAX).unwrap();
        assert_eq!(sending.response().unwrap().status, 0);
        cart.release().unwrap();
        let received = scp.received().unwrap();
        assert_eq!(
            Object::read(&received[0]).unwrap().sop_instance,
            object.sop_instance
        );
    }

    #[test]
    fn a_refusing_storescp_refuses() {
        let (scp, port) = StoreScp::start_anywhere(&["--refuse"]).unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let file = samples::pydicom("examples_rgb_color.dcm").unwrap();
        let run = storescu(at, &[], &[file]).unwrap();
        assert_ne!(run.code, Some(0));
        assert!(scp.received().unwrap().is_empty());
    }
}
