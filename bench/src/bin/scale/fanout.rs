//! How many images the changes of a day touch, in the made fleet of `bom_index`, by what changes: any package version, or
//! rather those that many images have.

use crate::costs::{EVALUATION_DATABASE_MS, EVALUATION_NODE_MS, EVALUATION_VALKEY_MS};

#[path = "../bom_index/fleet.rs"]
#[expect(dead_code, reason = "the other measurement asks it for more")]
mod fleet;

/// How much a package version that more images have changes more often.
const LAWS: [(&str, f64); 3] =
    [("all alike", 0.0), ("by the root of how many have it", 0.5), ("by how many have it", 1.0)];

pub(crate) fn tell(images: u32, changes: u32) {
    let mut made = fleet::Fleet::new(images);
    for image in 0..images {
        made.counted(image);
    }
    let having = &made.having;
    println!("{} pairs, {} package versions\n", made.pairs(), made.versions());
    println!(
        "| what changes | images a change | images a day | of those in the fleet, each | PostgreSQL, cores | nodes, cores | Valkey, cores | hours of one core of PostgreSQL |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (law, power) in LAWS {
        // What is expected of a change: versions are drawn by their weight.
        let weight = |count: &u32| f64::from(*count).powf(power);
        let all: f64 = having.iter().map(weight).sum();
        let each: f64 = having.iter().map(|count| weight(count) * f64::from(*count)).sum::<f64>() / all;
        let day = each * f64::from(changes);
        let cores = |ms: f64| day * ms / 1e3 / 86_400.0;
        println!(
            "| {law} | {each:.0} | {day:.2e} | {:.1} | {:.2} | {:.2} | {:.2} | {:.1} |",
            day / f64::from(images),
            cores(EVALUATION_DATABASE_MS),
            cores(EVALUATION_NODE_MS),
            cores(EVALUATION_VALKEY_MS),
            day * EVALUATION_DATABASE_MS / 3.6e6,
        );
    }
}
