//! The links of an HDF5 group, of every kind, as they stand in the file: the reader's own lists leave out those that
//! lead nowhere.
//!
//! Groups keep them in their header, in a B-tree of names beside a heap of texts (old), or in a heap of messages
//! (many links).

use hdf5_reader::btree_v1::collect_btree_v1_leaves_storage;
use hdf5_reader::btree_v2::{BTreeV2Header, BTreeV2Record, collect_btree_v2_records_storage};
use hdf5_reader::error::{Error, Result};
use hdf5_reader::fractal_heap::{FractalHeap, FractalHeapDirectBlockCache};
use hdf5_reader::io::Cursor;
use hdf5_reader::local_heap::LocalHeap;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::link::{self, LinkTarget};
use hdf5_reader::messages::link_info::LinkInfoMessage;
use hdf5_reader::messages::symbol_table_msg::SymbolTableMessage;
use hdf5_reader::symbol_table::SymbolTableNode;
use hdf5_reader::{Hdf5File, Storage};

/// The kind of a soft link among the entries of an old group.
const SOFT: u32 = 2;

/// A name in a group and what it leads to.
pub(crate) struct Link {
    pub name: String,
    pub target: LinkTarget,
}

/// All links of the group whose header is at `address`.
pub(super) fn links(file: &Hdf5File, address: u64) -> Result<Vec<Link>> {
    let header = file.get_or_parse_header(address)?;
    let group = Group::of(file);
    let mut links = Vec::new();
    for message in &header.messages {
        match message {
            HdfMessage::Link(link) => {
                links.push(Link { name: link.name.clone(), target: link.target.clone() });
            }
            HdfMessage::SymbolTable(table) => group.entries(table, &mut links)?,
            HdfMessage::LinkInfo(info) => group.heap_links(info, &mut links)?,
            _ => {}
        }
    }
    Ok(links)
}

/// Where the parts of a group are read from.
struct Group<'a> {
    storage: &'a dyn Storage,
    offset_size: u8,
    length_size: u8,
}

impl<'a> Group<'a> {
    fn of(file: &'a Hdf5File) -> Group<'a> {
        let superblock = file.superblock();
        Group {
            storage: file.storage(),
            offset_size: superblock.offset_size,
            length_size: superblock.length_size,
        }
    }

    /// The links of a group of the old kind.
    fn entries(&self, table: &SymbolTableMessage, links: &mut Vec<Link>) -> Result<()> {
        let (storage, offset_size, length_size) = (self.storage, self.offset_size, self.length_size);
        let heap = LocalHeap::parse_at_storage(storage, table.heap_address, offset_size, length_size)?;
        let address = table.btree_address;
        let leaves =
            collect_btree_v1_leaves_storage(storage, address, offset_size, length_size, None, &[], None)?;
        if leaves.is_empty() {
            return Ok(());
        }
        let size = usize::try_from(heap.data_segment_size)
            .map_err(|_| Error::InvalidData("a heap of names that is larger than memory".to_owned()))?;
        let names = storage.read_range(heap.data_segment_address, size)?;
        for (_, address) in leaves {
            // Signature, version, a reserved byte, the number of entries.
            let head = storage.read_range(address, 8)?;
            let count = head.as_ref().get(6..8).and_then(|bytes| bytes.first_chunk().copied());
            let count = usize::from(u16::from_le_bytes(count.unwrap_or_default()));
            let entry = 2 * usize::from(offset_size) + 24;
            let node = storage.read_range(address, 8 + count * entry)?;
            let node = SymbolTableNode::parse(&mut Cursor::new(node.as_ref()), offset_size, length_size)?;
            for entry in node.entries {
                let name = text(names.as_ref(), entry.link_name_offset)?;
                let [a, b, c, d, ..] = entry.scratch;
                let target = match entry.cache_type {
                    SOFT => {
                        let at = u64::from(u32::from_le_bytes([a, b, c, d]));
                        LinkTarget::Soft { path: text(names.as_ref(), at)? }
                    }
                    _ => LinkTarget::Hard { address: entry.object_header_address },
                };
                links.push(Link { name, target });
            }
        }
        Ok(())
    }

    /// The links that a group with many keeps outside its header.
    fn heap_links(&self, info: &LinkInfoMessage, links: &mut Vec<Link>) -> Result<()> {
        let (storage, offset_size, length_size) = (self.storage, self.offset_size, self.length_size);
        if Cursor::is_undefined_offset(info.fractal_heap_address, offset_size) {
            return Ok(());
        }
        let heap =
            FractalHeap::parse_at_storage(storage, info.fractal_heap_address, offset_size, length_size)?;
        let index = info.btree_name_index_address;
        let index = BTreeV2Header::parse_at_storage(storage, index, offset_size, length_size)?;
        let records =
            collect_btree_v2_records_storage(storage, &index, offset_size, length_size, None, &[], None)?;
        let mut cache = FractalHeapDirectBlockCache::default();
        for record in &records {
            let (BTreeV2Record::LinkNameHash { heap_id, .. } | BTreeV2Record::CreationOrder { heap_id, .. }) =
                record
            else {
                continue;
            };
            let bytes =
                heap.get_object_storage_cached(heap_id, storage, offset_size, length_size, &mut cache)?;
            let link = link::parse(&mut Cursor::new(&bytes), offset_size, length_size, bytes.len())?;
            links.push(Link { name: link.name, target: link.target });
        }
        Ok(())
    }
}

/// The text at `offset` in a heap, up to the next zero byte.
fn text(heap: &[u8], offset: u64) -> Result<String> {
    let rest = usize::try_from(offset).ok().and_then(|offset| heap.get(offset..));
    let text = rest.and_then(|rest| rest.split(|&byte| byte == 0).next());
    let text = text.and_then(|text| str::from_utf8(text).ok());
    text.map(str::to_owned).ok_or_else(|| Error::InvalidData("a link whose name is no text".to_owned()))
}
