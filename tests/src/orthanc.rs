//! Orthanc as the PACS.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Http;
use crate::node::AE_TITLE as SONODE;
use crate::process::Daemon;
use crate::wait::{eventually, free_port};

/// Orthanc's AE title.
pub const AE_TITLE: &str = "ORTHANC";

const START: Duration = Duration::from_mins(1);

/// Sends every instance that it stores to the modality `sonode`, those from Sonode included.
const FORWARD_EVERYTHING: &str = "
function OnStoredInstance(instanceId, tags, metadata, origin)
  SendToModality(instanceId, 'sonode')
end
";

/// An Orthanc that isn't running yet: its ports are known, so that a node can be told of them first.
#[derive(Debug)]
pub struct Pacs {
    folder: TempDir,
    dicom_port: u16,
    http_port: u16,
}

impl Pacs {
    /// Chooses its ports and its folder.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            dicom_port: free_port()?,
            http_port: free_port()?,
        })
    }

    /// Where it will accept associations.
    pub fn dicom_port(&self) -> u16 {
        self.dicom_port
    }

    /// Starts it.
    pub fn start(self) -> Result<Orthanc> {
        self.start_with(None, false)
    }

    /// Starts it so that everything it stores is sent to the node at `sonode`.
    pub fn start_forwarding_to(self, sonode: SocketAddr) -> Result<Orthanc> {
        self.start_with(Some(sonode), true)
    }

    /// Starts it so that it knows the node at `sonode`, which it may ask, and which it answers.
    pub fn start_knowing(self, sonode: SocketAddr) -> Result<Orthanc> {
        self.start_with(Some(sonode), false)
    }

    fn start_with(self, sonode: Option<SocketAddr>, forward: bool) -> Result<Orthanc> {
        let folder = self.folder.path();
        let config = folder.join("orthanc.json");
        fs::write(&config, self.config(folder, sonode, forward)?.to_string())?;
        let mut command = Command::new("Orthanc");
        let mut daemon = Daemon::start(command.arg(&config), &folder.join("orthanc.log"))?;
        let http = Http::on(self.http_port);
        eventually("Orthanc to start", START, || {
            daemon.check_alive()?;
            Ok((http.status("/system") == Some(200)).then_some(()))
        })?;
        Ok(Orthanc {
            _process: daemon,
            http,
            _pacs: self,
        })
    }

    fn config(&self, folder: &Path, sonode: Option<SocketAddr>, forward: bool) -> Result<Value> {
        let script = folder.join("forward.lua");
        fs::write(&script, FORWARD_EVERYTHING)?;
        let modalities = sonode.map_or_else(
            || json!({}),
            |at| json!({ "sonode": [SONODE, at.ip().to_string(), at.port()] }),
        );
        Ok(json!({
            "Name": "PACS of the tests",
            "StorageDirectory": folder.join("storage"),
            "IndexDirectory": folder.join("storage"),
            "Plugins": [],
            "DicomAet": AE_TITLE,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowStore": true,
            "DicomAlwaysAllowEcho": true,
            "UnknownSopClassAccepted": true,
            "DicomModalities": modalities,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": false,
            "AuthenticationEnabled": false,
            "StableAge": 1,
            "SaveJobs": false,
            "LuaScripts": if forward { vec![script] } else { Vec::new() },
        }))
    }
}

/// A running Orthanc. Dropping it kills it and removes its folder.
#[derive(Debug)]
pub struct Orthanc {
    // First, so that it ends before its folder goes.
    _process: Daemon,
    http: Http,
    _pacs: Pacs,
}

impl Orthanc {
    /// Its REST interface.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Puts a file into it.
    pub fn upload(&self, file: &Path) -> Result<()> {
        self.http.post_bytes("/instances", &fs::read(file)?)
    }

    /// Has it send an instance to a modality and ask for storage commitment; gives the Transaction UID.
    pub fn store_with_commitment(&self, modality: &str, sop_instance: &str) -> Result<String> {
        let found = self.http.post("/tools/lookup", sop_instance)?;
        let id = ids(&found, "Instance").into_iter().next();
        let request = json!({ "Resources": [id], "StorageCommitment": true, "Synchronous": true });
        let path = format!("/modalities/{modality}/store");
        let done = self.http.post(&path, &request.to_string())?;
        let transaction = text(&done, "/StorageCommitmentTransactionUID");
        anyhow::ensure!(!transaction.is_empty(), "no transaction: {done}");
        Ok(transaction)
    }

    /// Everything that it holds of a study.
    pub fn holds(&self, study_uid: &str) -> Result<Vec<Held>> {
        let found = self.http.post("/tools/lookup", study_uid)?;
        let Some(study) = ids(&found, "Study").into_iter().next() else {
            return Ok(Vec::new());
        };
        let mut held = Vec::new();
        let series = self.http.json(&format!("/studies/{study}/series"))?;
        for one in series.as_array().into_iter().flatten() {
            let modality = text(one, "/MainDicomTags/Modality");
            let id = text(one, "/ID");
            let instances = self.http.json(&format!("/series/{id}/instances"))?;
            for instance in instances.as_array().into_iter().flatten() {
                held.push(Held {
                    modality: modality.clone(),
                    sop_instance_uid: text(instance, "/MainDicomTags/SOPInstanceUID"),
                    id: text(instance, "/ID"),
                });
            }
        }
        Ok(held)
    }

    /// The reports that it holds of a study.
    pub fn reports(&self, study_uid: &str) -> Result<Vec<Held>> {
        let mut held = self.holds(study_uid)?;
        held.retain(|one| one.modality == "SR");
        Ok(held)
    }

    /// Waits until it holds a report of a study, and returns the first.
    pub fn report(&self, study_uid: &str, within: Duration) -> Result<Held> {
        eventually("the PACS to hold a report", within, || {
            Ok(self.reports(study_uid)?.into_iter().next())
        })
    }

    /// Writes an instance into a file.
    pub fn download(&self, held: &Held, file: &Path) -> Result<()> {
        let bytes = self.http.bytes(&format!("/instances/{}/file", held.id))?;
        fs::write(file, bytes).with_context(|| format!("could not write {}", file.display()))
    }

    /// Whether every transfer that its script began has ended.
    pub fn is_idle(&self) -> Result<bool> {
        let jobs = self.http.json("/jobs?expand")?;
        let jobs = jobs.as_array().cloned().unwrap_or_default();
        let open = |job: &Value| {
            matches!(
                text(job, "/State").as_str(),
                "Pending" | "Running" | "Retry"
            )
        };
        Ok(!jobs.iter().any(open))
    }
}

/// One instance in Orthanc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Modality of its series.
    pub modality: String,
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    id: String,
}

fn text(value: &Value, pointer: &str) -> String {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

fn ids(found: &Value, level: &str) -> Vec<String> {
    let list = found.as_array().into_iter().flatten();
    list.filter(|one| text(one, "/Type") == level)
        .map(|one| text(one, "/ID"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dcmtk::StoreScp;
    use crate::part10::Object;
    use crate::samples;

    #[test]
    fn it_lists_what_it_holds_and_forwards_it() {
        let (scp, port) = StoreScp::start_anywhere(&[]).unwrap();
        let pacs = Pacs::new().unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let orthanc = pacs.start_forwarding_to(at).unwrap();
        let file = samples::pydicom("reportsi.dcm").unwrap();
        orthanc.upload(&file).unwrap();
        let sent = Object::read(&file).unwrap();
        let study = "1.2.276.0.7230010.3.1.2.1787205428.166.1117461927.5";
        let reports = orthanc.reports(study).unwrap();
        let uids: Vec<&str> = reports
            .iter()
            .map(|r| r.sop_instance_uid.as_str())
            .collect();
        assert_eq!(uids, [sent.sop_instance.as_str()]);
        assert_eq!(orthanc.holds("1.2.3").unwrap(), []);
        let copy = eventually("the forwarded copy", START, || {
            Ok(scp
                .received()?
                .into_iter()
                .next()
                .filter(|_| orthanc.is_idle().unwrap()))
        });
        assert_eq!(
            Object::read(&copy.unwrap()).unwrap().sop_instance,
            sent.sop_instance
        );
        let back = scp
            .received()
            .unwrap()
            .remove(0)
            .with_extension("downloaded");
        orthanc.download(&reports[0], &back).unwrap();
        assert_eq!(Object::read(&back).unwrap(), sent);
    }
}
