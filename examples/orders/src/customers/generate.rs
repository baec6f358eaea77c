//! Makes up orders: each a pure function of the seed and its number.

use crate::catalogue::{PRODUCTS, Product};
use crate::chance::Chance;
use crate::proto::orders::{Delivery, Line, Order, Visit};

/// How many lines an order has: one of these.
const LINES: [u64; 10] = [1, 1, 1, 1, 1, 2, 2, 2, 3, 4];

/// How many pieces a line has: one of these.
const PIECES: [u32; 7] = [1, 1, 1, 1, 2, 2, 3];

/// One customer of so many makes a mistake.
const CAREFUL: u64 = 500;

/// From this demand on a product is one that everybody wants.
const POPULAR: u64 = 40;

const NAMES: [&str; 12] = [
    "Ines Albrecht",
    "Marek Nowak",
    "Sofia Rossi",
    "Lukas Horvath",
    "Priya Silva",
    "Freya Larsen",
    "Amélie Dubois",
    "Zeynep Kaya",
    "Oskar Lindqvist",
    "Clara Moreau",
    "Björn Haugen",
    "Mei Chen",
];

const CITIES: [&str; 10] = [
    "Hamburg",
    "Kraków",
    "Lyon",
    "Göteborg",
    "Porto",
    "Wien",
    "Gent",
    "Bologna",
    "Cork",
    "Turku",
];

/// Makes up an order.
pub(crate) fn order(visit: Visit, number: u64) -> Order {
    let seed = visit.seed;
    let mut chance = Chance::new(seed, &format!("order {number}"));
    let mut lines: Vec<_> = (0..chance.one_of(&LINES))
        .map(|_| Line {
            sku: product(&mut chance).sku.into(),
            quantity: chance.one_of(&PIECES),
        })
        .collect();
    if chance.below(CAREFUL) == 0 {
        lines[0].sku = "BEAN-KONA-250".into();
    }
    Order {
        id: format!("G{seed}-{number:06}"),
        customer: chance.one_of(&NAMES).into(),
        city: chance.one_of(&CITIES).into(),
        lines,
        visit: Some(visit),
    }
}

fn product(chance: &mut Chance) -> &'static Product {
    let mut drawn = chance.below(demand());
    let mut products = PRODUCTS.iter();
    loop {
        match products.next() {
            Some(product) if drawn >= product.demand => drawn -= product.demand,
            Some(product) => return product,
            None => unreachable!("a draw is below the sum of all demands"),
        }
    }
}

fn demand() -> u64 {
    PRODUCTS.iter().map(|product| product.demand).sum()
}

/// Returns what the shop has delivered before so many orders: of most products more than will be ordered; of
/// those that everybody wants too few.
pub(crate) fn delivery(orders: u64, percent: u32) -> Delivery {
    let lines_of_ten: u64 = LINES.iter().sum();
    let pieces_of_seven: u64 = PIECES.iter().map(|pieces| u64::from(*pieces)).sum();
    let line = |product: &Product| {
        let usual = if product.demand >= POPULAR { 75 } else { 125 };
        let ordered = u128::from(orders)
            * u128::from(lines_of_ten * pieces_of_seven * product.demand)
            / u128::from(LINES.len() as u64 * PIECES.len() as u64 * demand());
        let quantity = ordered * usual * u128::from(percent) / (100 * 100);
        Line {
            sku: product.sku.into(),
            quantity: u32::try_from(quantity).unwrap_or(u32::MAX),
        }
    };
    let lines = PRODUCTS.iter().map(line).filter(|line| line.quantity > 0);
    Delivery {
        lines: lines.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(seed: u64, number: u64) -> Order {
        super::order(Visit { number: 0, seed }, number)
    }

    #[test]
    fn an_order_is_a_pure_function_of_seed_and_number() {
        assert_eq!(order(7, 41), order(7, 41));
        assert_ne!(order(7, 41).lines, order(8, 41).lines);
        // Were these to change, outcomes of earlier runs could not be compared with.
        let first = order(7, 0);
        let lines: Vec<_> = first.lines.iter().map(|l| (&*l.sku, l.quantity)).collect();
        let expected = [("MILK-JUG-350", 3), ("BEAN-BRASIL-1000", 1)];
        assert_eq!((&*first.id, lines), ("G7-000000", expected.to_vec()));
    }

    #[test]
    fn of_what_everybody_wants_too_little_is_delivered() {
        let ordered: Vec<Line> = (0..5000).flat_map(|n| order(7, n).lines).collect();
        for delivered in delivery(5000, 100).lines {
            let product = crate::catalogue::find(&delivered.sku);
            let wanted: u32 = ordered
                .iter()
                .filter(|line| line.sku == delivered.sku)
                .map(|line| line.quantity)
                .sum();
            if product.is_some_and(|product| product.demand >= POPULAR) {
                assert!(delivered.quantity < wanted, "{}", delivered.sku);
            }
        }
    }
}
