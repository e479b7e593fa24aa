//! One frame under a header that the input chose.

/// The transfer syntaxes whose frames the worker decodes, and one that it doesn't.
const SYNTAXES: [&str; 11] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.201",
];
const PHOTOMETRICS: [(&str, u16); 8] = [
    ("MONOCHROME1", 1),
    ("MONOCHROME2", 1),
    ("PALETTE COLOR", 1),
    ("RGB", 3),
    ("YBR_FULL", 3),
    ("YBR_FULL_422", 3),
    ("YBR_ICT", 3),
    ("YBR_RCT", 3),
];

/// A Part 10 file. The eight bytes are: transfer syntax, photometric interpretation, two of rows, two of columns, bits
/// (the lowest: 8 or 16; then planar; then signed), frames.
pub fn file(header: &[u8; 8], frame: &[u8]) -> Vec<u8> {
    let [syntax, photometric, r0, r1, c0, c1, bits, frames] = *header;
    let syntax = SYNTAXES[usize::from(syntax) % SYNTAXES.len()];
    let (photometric, samples) = PHOTOMETRICS[usize::from(photometric) % PHOTOMETRICS.len()];
    let allocated = if bits & 1 == 0 { 8 } else { 16 };
    let mut set = Elements::default();
    set.text(0x0008_0016, "UI", "1.2.840.10008.5.1.4.1.1.3.1")
        .text(0x0008_0018, "UI", "1.2.3")
        .number(0x0028_0002, samples)
        .text(0x0028_0004, "CS", photometric)
        .number(0x0028_0006, u16::from(bits >> 1 & 1))
        .text(0x0028_0008, "IS", &frames.to_string())
        .number(0x0028_0010, u16::from_le_bytes([r0, r1]))
        .number(0x0028_0011, u16::from_le_bytes([c0, c1]))
        .number(0x0028_0100, allocated)
        .number(0x0028_0101, allocated)
        .number(0x0028_0102, allocated - 1)
        .number(0x0028_0103, u16::from(bits >> 2 & 1));
    if samples == 1 && photometric.starts_with('P') {
        for tag in [0x0028_1101, 0x0028_1102, 0x0028_1103] {
            set.words(tag, &[256, 0, 8]);
        }
        for tag in [0x0028_1201, 0x0028_1202, 0x0028_1203] {
            set.words(tag, &[0x0100; 128]);
        }
    }
    if syntax == SYNTAXES[0] {
        set.long(0x7FE0_0010, frame.len(), frame);
    } else {
        let item = |value: &[u8]| {
            let mut item = vec![0xFE, 0xFF, 0x00, 0xE0];
            item.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
            item.extend(value);
            item
        };
        let mut value = item(&[]);
        value.extend(item(frame));
        value.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        set.long(0x7FE0_0010, u32::MAX as usize, &value);
    }
    part10(syntax, &set.0)
}

/// Preamble, meta information and a data set that is written already.
pub fn part10(syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let mut meta = Elements::default();
    meta.text(0x0002_0010, "UI", syntax);
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    let mut length = Elements::default();
    let bytes = u32::try_from(meta.0.len()).unwrap().to_le_bytes();
    length.short(0x0002_0000, "UL", &bytes);
    file.extend(length.0);
    file.extend(meta.0);
    file.extend(data_set);
    file
}

/// Elements in Explicit VR Little Endian.
#[derive(Default)]
struct Elements(Vec<u8>);

impl Elements {
    fn tag(&mut self, tag: u32) {
        let (group, element) = (tag >> 16, tag & 0xFFFF);
        self.0.extend(&group.to_le_bytes()[..2]);
        self.0.extend(&element.to_le_bytes()[..2]);
    }

    fn short(&mut self, tag: u32, vr: &str, value: &[u8]) -> &mut Self {
        self.tag(tag);
        self.0.extend(vr.as_bytes());
        self.0
            .extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        self.0.extend(value);
        self
    }

    fn text(&mut self, tag: u32, vr: &str, text: &str) -> &mut Self {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(if vr == "UI" { 0 } else { b' ' });
        }
        self.short(tag, vr, &value)
    }

    fn number(&mut self, tag: u32, number: u16) -> &mut Self {
        self.short(tag, "US", &number.to_le_bytes())
    }

    fn words(&mut self, tag: u32, words: &[u16]) -> &mut Self {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.short(tag, "US", &bytes)
    }

    fn long(&mut self, tag: u32, length: usize, value: &[u8]) -> &mut Self {
        self.tag(tag);
        self.0.extend(b"OB\0\0");
        self.0.extend(u32::try_from(length).unwrap().to_le_bytes());
        self.0.extend(value);
        self
    }
}
