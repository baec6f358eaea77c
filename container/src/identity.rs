//! Who a node is.

use std::fmt;

/// A node's identity: 16 opaque bytes, the same for as long as the node is the same one to others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub [u8; 16]);

impl NodeId {
    /// Derives an id from what makes the node the same one after a restart: the app, its name, where it can
    /// be reached. Equal parts give equal ids, on every platform and release.
    #[must_use]
    pub fn derived(parts: &[&str]) -> Self {
        let mut hash = [FNV_OFFSET, FNV_OFFSET ^ 0x9e37_79b9_7f4a_7c15];
        for part in parts {
            for byte in part.bytes().chain([0xff]) {
                for half in &mut hash {
                    *half = (*half ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
                    *half ^= half.rotate_left(29);
                }
            }
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&hash[0].to_be_bytes());
        id[8..].copy_from_slice(&hash[1].to_be_bytes());
        Self(id)
    }

    /// Reads an id as it travels; `None` unless it is 16 bytes.
    pub(crate) fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

// http://www.isthe.com/chongo/tech/comp/fnv/, with a rotation so that both halves differ in every bit.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Returns the number by which frames say which network they are for; 0, which means any, for no name.
#[must_use]
pub(crate) fn network_number(name: &str) -> u64 {
    if name.is_empty() {
        return 0;
    }
    let NodeId(bytes) = NodeId::derived(&["network", name]);
    u64::from_be_bytes(bytes[..8].try_into().expect("invariant: 8 of 16 bytes"))
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_is_stable_and_tells_parts_apart() {
        assert_eq!(NodeId::derived(&["a", "b"]), NodeId::derived(&["a", "b"]));
        assert_ne!(NodeId::derived(&["a", "b"]), NodeId::derived(&["ab"]));
        assert_ne!(NodeId::derived(&["ab", ""]), NodeId::derived(&["a", "b"]));
    }
}
