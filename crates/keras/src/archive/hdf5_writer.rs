//! Small HDF5 files for tests, also such as no library would write.

use hdf5_reader::checksum::jenkins_lookup3;

const UNDEFINED: [u8; 8] = [0xff; 8];

/// A group with attributes and links.
#[derive(Clone, Default)]
pub(crate) struct Group {
    attributes: Vec<Vec<u8>>,
    links: Vec<(String, Link)>,
}

/// A dataset, message by message.
#[derive(Clone)]
pub(crate) struct Dataset {
    pub datatype: Vec<u8>,
    pub shape: Vec<u64>,
    /// The bytes of the elements.
    pub elements: Vec<u8>,
    /// The size that the layout claims.
    pub claimed: u64,
    pub attributes: Vec<Vec<u8>>,
    /// A layout message in place of the one for the elements.
    pub layout: Option<Vec<u8>>,
    /// Whether the elements are said to be deflated.
    pub is_deflated: bool,
}

#[derive(Clone)]
enum Link {
    Group(Group),
    Dataset(Dataset),
    Soft(String),
    External(String),
    Previous,
}

impl Group {
    pub fn group(mut self, name: &str, group: Group) -> Group {
        self.links.push((name.to_owned(), Link::Group(group)));
        self
    }

    pub fn dataset(mut self, name: &str, dataset: Dataset) -> Group {
        self.links.push((name.to_owned(), Link::Dataset(dataset)));
        self
    }

    pub fn soft_link(mut self, name: &str, target: &str) -> Group {
        self.links.push((name.to_owned(), Link::Soft(target.to_owned())));
        self
    }

    pub fn external_link(mut self, name: &str, file: &str) -> Group {
        self.links.push((name.to_owned(), Link::External(file.to_owned())));
        self
    }

    /// A second name for the object that was added last.
    pub fn alias(mut self, name: &str) -> Group {
        self.links.push((name.to_owned(), Link::Previous));
        self
    }

    /// An attribute of fixed-length strings, as NumPy makes one of a list of bytes.
    pub fn strings(mut self, name: &str, strings: &[&str]) -> Group {
        self.attributes.push(string_attribute(name, strings));
        self
    }

    /// An attribute of any kind.
    pub fn push_attribute(&mut self, attribute: Vec<u8>) {
        self.attributes.push(attribute);
    }

    /// An attribute that is an empty list, as NumPy makes one.
    pub fn no_strings(mut self, name: &str) -> Group {
        self.attributes.push(attribute(name, &float64(), &[0], &[]));
        self
    }

    /// The file of which this is the root.
    pub fn file(&self) -> Vec<u8> {
        let mut out = vec![0; 48];
        let root = self.write(&mut out);
        let mut superblock = b"\x89HDF\r\n\x1a\n\x02\x08\x08\x00".to_vec();
        superblock.extend([0; 8]);
        superblock.extend(UNDEFINED);
        superblock.extend((out.len() as u64).to_le_bytes());
        superblock.extend(root.to_le_bytes());
        superblock.extend(jenkins_lookup3(&superblock).to_le_bytes());
        out[..48].copy_from_slice(&superblock);
        out
    }

    fn write(&self, out: &mut Vec<u8>) -> u64 {
        let mut messages = vec![(0x02, [&[0, 0][..], &UNDEFINED, &UNDEFINED].concat()), (0x0a, vec![0, 0])];
        messages.extend(self.attributes.iter().map(|message| (0x0c, message.clone())));
        let mut previous = 0;
        for (name, link) in &self.links {
            let (kind, target) = match link {
                Link::Soft(path) => (1, sized(path.as_bytes())),
                Link::External(file) => (64, sized(format!("\0{file}\0/x\0").as_bytes())),
                Link::Group(group) => (0, group.write(out).to_le_bytes().to_vec()),
                Link::Dataset(dataset) => (0, dataset.write(out).to_le_bytes().to_vec()),
                Link::Previous => (0, u64::to_le_bytes(previous).to_vec()),
            };
            if let (0, Some(address)) = (kind, target.first_chunk()) {
                previous = u64::from_le_bytes(*address);
            }
            messages.push((0x06, [&[1, 0x09, kind][..], &sized(name.as_bytes()), &target].concat()));
        }
        object(out, &messages)
    }
}

impl Dataset {
    pub fn new(datatype: Vec<u8>, shape: &[u64], elements: &[u8]) -> Dataset {
        let (elements, claimed) = (elements.to_vec(), elements.len() as u64);
        let (shape, attributes) = (shape.to_vec(), Vec::new());
        Dataset { datatype, shape, elements, claimed, attributes, layout: None, is_deflated: false }
    }

    pub fn f32(shape: &[u64], elements: &[f32]) -> Dataset {
        let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
        Dataset::new(float32(), shape, &bytes)
    }

    fn write(&self, out: &mut Vec<u8>) -> u64 {
        let address = out.len() as u64;
        out.extend(&self.elements);
        let layout = [&[3, 1][..], &address.to_le_bytes(), &self.claimed.to_le_bytes()].concat();
        let mut messages = vec![
            (0x01, dataspace(&self.shape)),
            (0x03, self.datatype.clone()),
            (0x05, vec![3, 0x0a]),
            (0x08, self.layout.clone().unwrap_or(layout)),
        ];
        if self.is_deflated {
            messages.push((0x0b, vec![2, 1, 1, 0, 0, 0, 1, 0, 6, 0, 0, 0]));
        }
        messages.extend(self.attributes.iter().map(|message| (0x0c, message.clone())));
        object(out, &messages)
    }
}

/// An object header; the answer is its address.
fn object(out: &mut Vec<u8>, messages: &[(u8, Vec<u8>)]) -> u64 {
    let address = out.len() as u64;
    let size: usize = messages.iter().map(|(_, message)| 4 + message.len()).sum();
    let mut header = b"OHDR\x02\x02".to_vec();
    header.extend((size as u32).to_le_bytes());
    for (kind, message) in messages {
        header.push(*kind);
        header.extend((message.len() as u16).to_le_bytes());
        header.push(0);
        header.extend(message);
    }
    header.extend(jenkins_lookup3(&header).to_le_bytes());
    out.extend(header);
    address
}

/// Bytes behind their length in two bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_le_bytes()[..], bytes].concat()
}

fn dataspace(shape: &[u64]) -> Vec<u8> {
    let mut message = vec![2, shape.len() as u8, 0, u8::from(!shape.is_empty())];
    shape.iter().for_each(|size| message.extend(size.to_le_bytes()));
    message
}

pub(crate) fn attribute(name: &str, datatype: &[u8], shape: &[u64], elements: &[u8]) -> Vec<u8> {
    let space = dataspace(shape);
    let sizes = [name.len() + 1, datatype.len(), space.len()].map(|size| (size as u16).to_le_bytes());
    let head = [&[3, 0][..], &sizes.concat(), &[0]].concat();
    [&head, name.as_bytes(), &[0], datatype, &space, elements].concat()
}

pub(crate) fn string_attribute(name: &str, strings: &[&str]) -> Vec<u8> {
    let width = strings.iter().map(|string| string.len()).max().unwrap_or(0).max(1);
    let mut elements = Vec::new();
    for string in strings {
        elements.extend(string.as_bytes());
        elements.resize(elements.len() + width - string.len(), 0);
    }
    attribute(name, &string(width), &[strings.len() as u64], &elements)
}

fn string(width: usize) -> Vec<u8> {
    [&[0x13, 1, 0, 0][..], &(width as u32).to_le_bytes()].concat()
}

pub(crate) fn float32() -> Vec<u8> {
    vec![0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0]
}

fn float64() -> Vec<u8> {
    vec![0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 0xff, 3, 0, 0]
}

/// `bits` wide, signed.
pub(crate) fn integer(bits: u8) -> Vec<u8> {
    vec![0x10, 8, 0, 0, bits / 8, 0, 0, 0, 0, 0, bits, 0]
}

/// Two bytes that mean nothing.
pub(crate) fn opaque() -> Vec<u8> {
    vec![0x15, 0, 0, 0, 2, 0, 0, 0]
}

/// An enumeration of the bytes 0 and 1, such as h5py makes of truth values.
pub(crate) fn enumeration(names: [&str; 2]) -> Vec<u8> {
    let names: Vec<u8> = names.iter().flat_map(|name| [name.as_bytes(), &[0]].concat()).collect();
    [&[0x38, 2, 0, 0, 1, 0, 0, 0][..], &integer(8), &names, &[0, 1]].concat()
}
