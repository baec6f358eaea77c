//! To whom a key belongs, by rendezvous hashing (Thaler and Ravishankar, "A Name-Based Mapping Scheme for
//! Rendezvous", 1996): to whoever weighs most for it. When somebody comes only the keys move that are theirs from
//! then on, and when somebody goes only those that were.
//!
//! What is here is part of what nodes agree on: it never changes.

/// Makes a number from where a node is.
pub(crate) fn token(place: &str) -> u64 {
    mix(fold(place.as_bytes()))
}

/// Weighs a node for a key.
pub(crate) fn weight(token: u64, key: &[u8]) -> u64 {
    mix(mix(fold(key)) ^ token)
}

/// FNV-1a.
fn fold(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014): every bit
/// of the result depends on every bit of the number.
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use monofil_transport::Stream;

    fn owner(nodes: &[String], key: &[u8]) -> Option<String> {
        let weigh = |node: &&String| (weight(token(node), key), (*node).clone());
        nodes.iter().max_by_key(weigh).cloned()
    }

    fn nodes(numbers: &[u16]) -> Vec<String> {
        let name = |number: &u16| format!("tcp://10.0.{}.{}:7700", number >> 8, number & 0xff);
        let mut nodes: Vec<_> = numbers.iter().map(name).collect();
        nodes.sort();
        nodes.dedup();
        nodes
    }

    #[test]
    fn only_what_must_move_moves() {
        for seed in 0..200 {
            let mut random = Stream::new(seed, "keys");
            let count = 2 + random.below(40);
            let numbers: Vec<_> = (0..count)
                .map(|_| u16::try_from(random.below(65_536)).expect("a short one"))
                .collect();
            let with = nodes(&numbers);
            let mut without = with.clone();
            let place = usize::try_from(random.below(with.len() as u64)).expect("few");
            let gone = without.remove(place);
            for _ in 0..50 {
                let mut key = vec![0; usize::try_from(random.below(20)).expect("few")];
                random.fill(&mut key);
                let (before, after) = (owner(&with, &key), owner(&without, &key));
                // Those of others stay where they are; read the other way round it is a node that comes.
                if before.as_ref() != Some(&gone) {
                    assert_eq!(before, after, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn each_gets_its_share() {
        for count in [2_u16, 3, 10, 50] {
            let nodes = nodes(&(1..=count).collect::<Vec<_>>());
            let mut owned = vec![0; nodes.len()];
            let keys = 2000 * usize::from(count);
            for key in 0..keys {
                let owner = owner(&nodes, format!("order-{key}").as_bytes()).expect("somebody");
                let place = nodes
                    .iter()
                    .position(|node| *node == owner)
                    .expect("of them");
                owned[place] += 1;
            }
            for owned in owned {
                assert!((1750..2250).contains(&owned), "{count}: {owned}");
            }
        }
    }

    #[test]
    fn owners_are_pinned() {
        assert_eq!(token("tcp://10.0.0.7:7700"), 10_736_281_835_659_689_694);
        let both = weight(token("tcp://10.0.0.7:7700"), b"order-1");
        assert_eq!(both, 14_877_988_049_825_702_563);
        assert_eq!(weight(1, b"order-1"), 16_914_491_623_615_496_195);
    }
}
