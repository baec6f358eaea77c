//! What the shop sells.

use std::collections::BTreeMap;

use monofil::prelude::*;

use crate::proto::orders::Line;

/// Something that can be ordered.
pub(crate) struct Product {
    pub(crate) sku: &'static str,
    pub(crate) name: &'static str,
    /// What one costs.
    pub(crate) cents: u64,
    /// How many there are when the shop opens.
    pub(crate) stock: u64,
    /// How often it is ordered, compared with the others.
    pub(crate) demand: u64,
}

/// Pieces by product; products once each.
pub(crate) type Basket = BTreeMap<&'static str, u64>;

/// Finds a product.
pub(crate) fn find(sku: &str) -> Option<&'static Product> {
    let at = PRODUCTS.binary_search_by_key(&sku, |product| product.sku);
    at.ok().map(|at| &PRODUCTS[at])
}

/// Reads lines: the same product may be in several.
///
/// # Errors
///
/// What is wrong with them, if anything.
pub(crate) fn basket(lines: &[Line]) -> Result<Basket, Status> {
    let mut basket = Basket::new();
    for Line { sku, quantity } in lines {
        let Some(product) = find(sku) else {
            return Err(Status::not_found(format!("there is no product `{sku}`")));
        };
        if *quantity == 0 {
            return Err(Status::invalid_argument(format!("0 of `{sku}`")));
        }
        *basket.entry(product.sku).or_default() += u64::from(*quantity);
    }
    Ok(basket)
}

const fn product(
    sku: &'static str,
    name: &'static str,
    cents: u64,
    stock: u64,
    demand: u64,
) -> Product {
    Product {
        sku,
        name,
        cents,
        stock,
        demand,
    }
}

/// Everything there is, in the order of the SKUs.
#[rustfmt::skip]
pub(crate) const PRODUCTS: [Product; 40] = [
    //      sku                 name                                 cents   stock  demand
    product("BEAN-BRASIL-1000", "Santos, whole beans, 1 kg", 2_190, 60, 30),
    product("BEAN-DECAF-250", "Decaf Chiapas, whole beans, 250 g", 990, 35, 14),
    product("BEAN-ETHIO-1000", "Yirgacheffe, whole beans, 1 kg", 4_290, 30, 16),
    product("BEAN-ETHIO-250", "Yirgacheffe, whole beans, 250 g", 1_290, 55, 42),
    product("BEAN-GEISHA-100", "Panama Geisha, whole beans, 100 g", 3_990, 12, 26),
    product("BEAN-HOUSE-1000", "House blend, whole beans, 1 kg", 2_990, 70, 44),
    product("BEAN-HOUSE-250", "House blend, whole beans, 250 g", 890, 90, 60),
    product("BEAN-KENYA-250", "Nyeri AA, whole beans, 250 g", 1_390, 45, 28),
    product("BEAN-SUMATRA-250", "Mandheling, whole beans, 250 g", 1_190, 40, 20),
    product("BREW-AEROPRESS", "AeroPress coffee maker", 3_495, 25, 18),
    product("BREW-CHEMEX-6", "Chemex, six cups", 4_990, 15, 9),
    product("BREW-COLD-1000", "Cold brew bottle, 1 l", 2_990, 20, 11),
    product("BREW-FRENCH-350", "French press, 350 ml", 2_490, 18, 8),
    product("BREW-MOKA-3", "Moka pot, three cups", 3_290, 25, 14),
    product("BREW-V60-CERAMIC", "V60 dripper, ceramic", 2_690, 30, 22),
    product("CARE-BRUSH", "Grinder brush", 790, 25, 7),
    product("CARE-CLEANER-500", "Machine cleaner, 500 g", 1_490, 30, 10),
    product("CARE-DESCALER-750", "Descaler, 750 ml", 1_190, 40, 15),
    product("CUP-CAPPUCCINO-2", "Cappuccino cups, set of two", 2_190, 25, 12),
    product("CUP-ESPRESSO-2", "Espresso cups, set of two", 1_690, 30, 13),
    product("CUP-TRAVEL-350", "Travel mug, 350 ml", 2_790, 40, 21),
    product("FILTER-AERO-350", "AeroPress filters, 350 pieces", 790, 60, 19),
    product("FILTER-CHEMEX-100", "Chemex filters, 100 pieces", 1_190, 35, 9),
    product("FILTER-V60-100", "V60 filters, 100 pieces", 590, 120, 40),
    product("GRINDER-ELECTRIC", "Burr grinder, electric", 18_900, 8, 6),
    product("GRINDER-HAND", "Hand grinder, steel burrs", 8_990, 15, 12),
    product("KETTLE-GOOSE-900", "Gooseneck kettle, 900 ml", 6_490, 14, 10),
    product("KETTLE-THERMO", "Gooseneck kettle with thermostat", 13_900, 8, 5),
    product("MACHINE-DUAL", "Espresso machine, dual boiler", 149_900, 2, 3),
    product("MACHINE-LEVER", "Espresso machine, hand lever", 69_900, 3, 4),
    product("MACHINE-SINGLE", "Espresso machine, single boiler", 42_900, 5, 5),
    product("MILK-JUG-350", "Milk jug, 350 ml", 1_790, 25, 11),
    product("MILK-OAT-6", "Oat drink for baristas, six times 1 l", 1_494, 45, 24),
    product("SCALE-BREW", "Brewing scale with timer", 4_990, 18, 13),
    product("SYRUP-VANILLA-700", "Vanilla syrup, 700 ml", 1_090, 30, 9),
    product("TAMPER-58", "Tamper, 58 mm", 3_990, 12, 6),
    product("TEA-ASSAM-250", "Assam, loose, 250 g", 1_290, 35, 13),
    product("TEA-EARLGREY-100", "Earl Grey, loose, 100 g", 790, 40, 17),
    product("TEA-MATCHA-30", "Matcha, ceremonial, 30 g", 2_490, 10, 25),
    product("TEA-SENCHA-100", "Sencha, loose, 100 g", 1_190, 35, 16),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_is_found() {
        for product in &PRODUCTS {
            let found = find(product.sku).map(|found| found.name);
            assert_eq!(found, Some(product.name), "the table is not in order");
        }
        assert!(find("").is_none());
    }

    #[test]
    fn lines_of_the_same_product_are_added_up() {
        let line = |sku: &str, quantity| Line {
            sku: sku.into(),
            quantity,
        };
        let lines = [
            line("TAMPER-58", 1),
            line("CARE-BRUSH", 2),
            line("TAMPER-58", 3),
        ];
        let expected = Basket::from([("CARE-BRUSH", 2), ("TAMPER-58", 4)]);
        assert_eq!(basket(&lines), Ok(expected));
        assert_eq!(
            basket(&[line("BEAN-MOON", 1)]).map_err(|status| status.code()),
            Err(Code::NotFound)
        );
        assert_eq!(
            basket(&[line("TAMPER-58", 0)]).map_err(|status| status.code()),
            Err(Code::InvalidArgument)
        );
    }
}
