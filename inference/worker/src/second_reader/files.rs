//! The tensors of a folder of safetensors files: one file, or shards with their index.
//!
//! A file is mapped into memory and read where it lies: 8 bytes of length, that many bytes of JSON, then the tensors
//! (the format's own README). What its header says is checked against the file before a tensor is made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tch::{Device, Kind, Tensor};

use super::config::read_json;
use super::error::ReaderError;

/// The longest header that is read; the format's own limit.
const HEADER_BYTES_MAX: u64 = 100 << 20;

/// Every tensor of a checkpoint, by name; their bytes are still in the files.
#[derive(Debug)]
pub struct TensorFiles {
    maps: Vec<Tensor>,
    entries: BTreeMap<String, Entry>,
}

/// One tensor: its file, type, shape and place.
#[derive(Debug, Clone)]
struct Entry {
    map: usize,
    kind: Kind,
    shape: Vec<i64>,
    start: i64,
    bytes: i64,
}

impl TensorFiles {
    /// Opens `STEM.safetensors`, or the shards that `STEM.safetensors.index.json` names.
    ///
    /// # Errors
    /// [`ReaderError::File`], [`ReaderError::Malformed`], and [`ReaderError::Tensors`] where the index names a tensor
    /// that its shard doesn't hold.
    pub fn open(folder: &Path, stem: &str) -> Result<Self, ReaderError> {
        let mut files = Self {
            maps: Vec::new(),
            entries: BTreeMap::new(),
        };
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        if !index.exists() {
            files.add(&folder.join(format!("{stem}.safetensors")))?;
            return Ok(files);
        }
        let shards = shards(&index)?;
        let mut problems = Vec::new();
        for (shard, names) in &shards {
            let path = folder.join(shard);
            if !path.exists() {
                problems.push(format!(
                    "{shard} is missing, which holds {} tensors from {} on",
                    names.len(),
                    names.first().map_or("", String::as_str)
                ));
                continue;
            }
            files.add(&path)?;
            let absent = names
                .iter()
                .filter(|name| !files.entries.contains_key(*name));
            problems.extend(absent.map(|name| format!("{name} is not in {shard}")));
        }
        if problems.is_empty() {
            Ok(files)
        } else {
            Err(ReaderError::Tensors(problems))
        }
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A tensor's shape; none where there is none of that name.
    pub fn shape(&self, name: &str) -> Option<&[i64]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// A tensor as it lies in its file; it must not be written to.
    ///
    /// # Errors
    /// [`ReaderError::Tensors`] where there is none of that name, [`ReaderError::Torch`].
    pub fn tensor(&self, name: &str) -> Result<Tensor, ReaderError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(ReaderError::Tensors(vec![format!("{name} is missing")]));
        };
        let bytes = self.maps[entry.map].f_narrow(0, entry.start, entry.bytes)?;
        // A view of wider numbers must begin at a multiple of their width.
        let width = entry.kind.elt_size_in_bytes() as i64;
        let bytes = if entry.start % width == 0 {
            bytes
        } else {
            bytes.copy()
        };
        Ok(bytes
            .f_view_dtype(entry.kind)?
            .f_view(entry.shape.as_slice())?)
    }

    fn add(&mut self, path: &Path) -> Result<(), ReaderError> {
        let (header, start, length) = read_header(path)?;
        let map = self.maps.len();
        let entries = header.as_object().into_iter().flatten();
        let mut problems = Vec::new();
        for (name, value) in entries.filter(|(name, _)| *name != "__metadata__") {
            match entry(value, map, start, length) {
                Ok(entry) => drop(self.entries.insert(name.clone(), entry)),
                Err(why) => problems.push(format!("{name} {why}")),
            }
        }
        if !problems.is_empty() {
            return Err(ReaderError::malformed(path, problems.join("; ")));
        }
        let name = path
            .to_str()
            .ok_or_else(|| ReaderError::malformed(path, "its name is not UTF-8"))?;
        // Private: the file is opened for reading alone, and pages come when they are looked at.
        let bytes = Tensor::f_from_file(name, false, length as i64, (Kind::Uint8, Device::Cpu))?;
        self.maps.push(bytes);
        Ok(())
    }
}

/// The shards of an index, and the tensors that each is said to hold.
fn shards(index: &Path) -> Result<BTreeMap<String, BTreeSet<String>>, ReaderError> {
    let json = read_json(index)?;
    let map = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| ReaderError::malformed(index, "it has no weight_map"))?;
    let mut shards: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, shard) in map {
        let shard = shard.as_str().unwrap_or_default();
        // A path would lead out of the folder.
        if PathBuf::from(shard).file_name().and_then(|n| n.to_str()) != Some(shard) {
            let detail = format!("{name} is said to be in \"{shard}\", which is no file's name");
            return Err(ReaderError::malformed(index, detail));
        }
        shards
            .entry(shard.to_owned())
            .or_default()
            .insert(name.clone());
    }
    Ok(shards)
}

/// The header, where the tensors begin, and the file's length.
fn read_header(path: &Path) -> Result<(Value, u64, u64), ReaderError> {
    let mut file = File::open(path).map_err(ReaderError::file(path))?;
    let total = fs::metadata(path).map_err(ReaderError::file(path))?.len();
    let mut length = [0; 8];
    let short = || ReaderError::malformed(path, "it is shorter than its header says");
    file.read_exact(&mut length).map_err(|_| short())?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX || length + 8 > total {
        return Err(short());
    }
    let mut text = Vec::new();
    file.take(length)
        .read_to_end(&mut text)
        .map_err(ReaderError::file(path))?;
    let header = serde_json::from_slice(&text)
        .map_err(|error| ReaderError::malformed(path, format!("its header is no JSON: {error}")))?;
    Ok((header, 8 + length, total))
}

fn entry(value: &Value, map: usize, start: u64, length: u64) -> Result<Entry, String> {
    let kind = match value.get("dtype").and_then(Value::as_str) {
        Some("F64") => Kind::Double,
        Some("F32") => Kind::Float,
        Some("F16") => Kind::Half,
        Some("BF16") => Kind::BFloat16,
        other => {
            return Err(format!(
                "is stored as {}; F64, F32, F16 and BF16 are read",
                other.unwrap_or("nothing")
            ));
        }
    };
    let whole = |key: &str| -> Option<Vec<u64>> {
        let list = value.get(key)?.as_array()?;
        list.iter().map(Value::as_u64).collect()
    };
    let (Some(shape), Some(offsets)) = (whole("shape"), whole("data_offsets")) else {
        return Err("has no shape or no place".to_owned());
    };
    let &[begin, end] = offsets.as_slice() else {
        return Err("has no place".to_owned());
    };
    let bytes = shape
        .iter()
        .try_fold(kind.elt_size_in_bytes() as u64, |size, side| {
            size.checked_mul(*side)
        });
    let inside = start.checked_add(end).is_some_and(|last| last <= length);
    if begin > end || bytes != Some(end - begin) || !inside {
        return Err("lies outside the file, or isn't as long as its shape".to_owned());
    }
    Ok(Entry {
        map,
        kind,
        shape: shape.into_iter().map(|side| side as i64).collect(),
        start: (start + begin) as i64,
        bytes: (end - begin) as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> (tempfile::TempDir, Result<TensorFiles, ReaderError>) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
        let files = TensorFiles::open(folder.path(), "model");
        (folder, files)
    }

    #[test]
    fn tensors_are_read_at_any_place_in_the_file() {
        // One space more or less puts the numbers at an odd byte.
        for pad in ["", " "] {
            let header = format!(
                "{{\"a\":{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}{pad}}}"
            );
            let data: Vec<u8> = [1.5f32, -2.0]
                .iter()
                .flat_map(|n| n.to_le_bytes())
                .collect();
            let (_folder, files) = file(&header, &data);
            let tensor = files.unwrap().tensor("a").unwrap();
            assert_eq!(Vec::<f32>::try_from(tensor).unwrap(), [1.5, -2.0]);
        }
    }

    #[test]
    fn what_a_header_claims_is_checked() {
        for (header, data) in [
            (
                r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#,
                8,
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#,
                7,
            ),
            (
                r#"{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#,
                8,
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}"#,
                0,
            ),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#,
                8,
            ),
            (r#"{"a":{"#, 0),
        ] {
            let (_folder, files) = file(header, &vec![0; data]);
            assert!(
                matches!(files, Err(ReaderError::Malformed { .. })),
                "{header}"
            );
        }
    }
}
