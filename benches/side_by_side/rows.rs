//! The rows of the table, by what they need to be measured.

mod ageing;
mod balance;
mod flood;
mod forward;
mod growth;
mod handshake;
mod idle;
mod propagation;
mod storm;

use crate::bed::Bed;
use crate::fault::Result;
use crate::table::Found;

/// Rows that are measured together.
struct Group {
    rows: &'static [&'static str],
    measure: fn(&Bed, &mut Found) -> Result<()>,
}

const GROUPS: [Group; 10] = [
    group(forward::ROWS, forward::measure),
    group(handshake::ROWS, handshake::measure),
    group(idle::ROWS, idle::measure),
    group(storm::ROWS, storm::measure),
    group(flood::ROWS, flood::measure),
    group(balance::ROWS, balance::measure),
    group(propagation::ROWS, propagation::measure),
    group(ageing::ROWS, ageing::measure),
    group(growth::START, growth::start),
    group(growth::GROWTH, growth::growth),
];

const fn group(
    rows: &'static [&'static str],
    measure: fn(&Bed, &mut Found) -> Result<()>,
) -> Group {
    Group { rows, measure }
}

/// Measures what is asked for; what cannot be measured is noted with its reason.
pub(crate) fn measure(bed: &Bed) -> Found {
    let mut found = Found::default();
    for group in &GROUPS {
        if group.rows.iter().any(|row| bed.options.wants(row))
            && let Err(why) = (group.measure)(bed, &mut found)
        {
            eprintln!("{}: {why}", group.rows.join(", "));
            found.miss(group.rows, &why);
        }
    }
    found
}
