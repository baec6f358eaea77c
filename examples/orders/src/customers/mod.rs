//! Customers: places orders, then looks whether everybody's books agree.

mod books;
mod generate;
mod input;
mod progress;
mod reports;
mod summary;
mod tally;

use std::path::PathBuf;
use std::time::Duration;

use monofil::prelude::*;

use crate::ledger::{self, Account, Judged};
use crate::proto::orders::{
    Confirmation, Delivery, InventoryClient, Order, OrderId, OrdersClient, ShippingClient, Visit,
};
use input::Source;
use progress::Progress;
use reports::Reports;
use summary::Summary;
use tally::{Placed, Tally};

/// How long components that are still starting are waited for.
const START: Duration = Duration::from_secs(15);

/// How long things may take in a simulated run, where they go wrong for a while first.
const SIMULATED: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read orders from a file, a JSON object a line; `-` is standard input [default: a few hundred
    /// orders that come with the program]
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    input: Option<PathBuf>,

    /// Make up so many orders from the seed
    #[arg(long, value_name = "N")]
    generate: Option<u64>,

    /// Goods delivered before made up orders, in percent of the usual
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    stock: u32,

    /// How many orders are placed at once; they wait in line at the component orders, which decides one
    /// after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Place an order once more when nobody knows how it ended; the shop does not promise to bear that
    #[arg(long)]
    insist: bool,

    /// Write a line for each order, in their order: its id, a tab, how it ended; of many runs the last one leaves it
    #[arg(long, value_name = "FILE")]
    outcomes: Option<PathBuf>,

    /// Show no progress bar
    #[arg(long)]
    no_progress: bool,
}

/// An order on its way.
struct Flight {
    placed: Placed,
    /// Since the first.
    sent: Duration,
    answer: Pending<Confirmation>,
    again: Again,
}

/// Whether an order is placed once more if nobody knows how it ended.
enum Again {
    No,
    Perhaps(Order),
    /// It was, because of this.
    Is(CallError),
}

/// Places orders and judges what came of them.
///
/// # Errors
///
/// The input cannot be read, a component does not answer, or the books do not balance.
pub(crate) fn run(cx: &mut Context, job: &Job<Args>) -> Result<(), Status> {
    let args = job.args();
    let visit = Visit {
        number: cx.wall_micros(),
        seed: job.seed(),
    };
    let orders = Source::open(args, visit)?;
    let mut tally = Tally::new(args.outcomes.as_deref())?;
    let is_simulated = job.layout() == Layout::Sim;
    let patience = if is_simulated { SIMULATED } else { START };
    let before = Reports::when_all_answer(cx, patience)?;
    if is_simulated {
        ledger::open();
    }
    if let Some(number) = args.generate {
        deliver(cx, &generate::delivery(number, args.stock), is_simulated)?;
    }

    let took = place_all(cx, job, orders, &mut tally)?;
    // Orders whose customers are in doubt may be sold as well, and that may be on its way.
    let confirmed = || ledger::sales().unwrap_or(tally.confirmed);
    books::settled(cx, &before, confirmed, &Account::ALL, books::SETTLE)?;
    let exact = fits_together(cx)?;
    if is_simulated {
        books::settled(cx, &before, confirmed, &exact, SIMULATED)?;
    }
    let ways = tally.latest.iter().map(|id| track(cx, visit, id)).collect();
    // In a simulation, who is stopped just now answers later, and nobody is gone for good.
    let reports = match is_simulated {
        true => Reports::when_all_answer(cx, patience)?,
        false => Reports::ask(cx),
    };
    let reports = reports.since(&before);
    // Somebody may have begun anew while the last questions were asked.
    let exact = fits_together(cx)?;
    ledger::mark(&exact);
    let confirmed = confirmed();
    let summary = Summary::new(job, tally, confirmed, reports, ways, took);
    summary.print(job.json())?;
    summary.verdict(&exact)
}

/// Delivers goods. In a simulated run it is tried until it is known to have been done: goods that are there twice are in
/// the books twice, and sold like others.
///
/// # Errors
///
/// They could not be delivered.
fn deliver(cx: &mut Context, delivery: &Delivery, is_simulated: bool) -> Result<(), Status> {
    let inventory = InventoryClient::new("inventory");
    let began = cx.now();
    loop {
        let done = inventory.deliver(cx, delivery.clone());
        if done.is_ok() || !is_simulated || cx.now().since(began) > SIMULATED {
            return Ok(done?);
        }
        cx.sleep(Duration::from_millis(100))?;
    }
}

/// Waits until the ledger fits together, and returns what must balance: what is on its way may arrive only when a
/// network is whole again.
///
/// # Errors
///
/// It never does; at once, if nothing that may come would change that.
fn fits_together(cx: &mut Context) -> Result<Vec<Account>, Status> {
    let began = cx.now();
    loop {
        match ledger::judge().map_err(Status::internal)? {
            Judged::Waits(text) if cx.now().since(began) > SIMULATED => {
                return Err(Status::internal(text));
            }
            Judged::Waits(_) => cx.sleep(Duration::from_millis(100))?,
            Judged::Holds(exact) => return Ok(exact),
        }
    }
}

/// Keeps as many orders under way as were asked for, and returns how long all took.
fn place_all(
    cx: &mut Context,
    job: &Job<Args>,
    mut orders: Source,
    tally: &mut Tally,
) -> Result<Duration, Status> {
    let began = cx.now();
    let desk = OrdersClient::new("orders");
    let progress = Progress::new(job, orders.number());
    let limit = usize::from(job.args().concurrency);
    let mut flights: Vec<Flight> = Vec::new();
    loop {
        // Answers that are there are not kept waiting for orders that have not been written yet.
        while flights.len() < limit && (flights.is_empty() || orders.at_hand()) {
            let order = match orders.next(cx)? {
                Some(Ok(_)) if job.leaves_out("orders") => continue,
                Some(Ok(order)) => order,
                Some(Err(wrong)) => {
                    progress.say(&wrong);
                    tally.wrong_lines += 1;
                    continue;
                }
                None => break,
            };
            flights.push(Flight {
                placed: tally.place(&order),
                sent: cx.now().since(began),
                again: match job.args().insist {
                    true => Again::Perhaps(order.clone()),
                    false => Again::No,
                },
                answer: desk.start_place(cx, order),
            });
        }
        if flights.is_empty() {
            tally.close()?;
            return Ok(cx.now().since(began));
        }
        let answers: Vec<_> = flights.iter().map(|flight| flight.answer.raw()).collect();
        let first = cx.wait_any(&answers)?;
        let mut flight = flights.remove(first);
        let answer = match (flight.answer.wait(cx), flight.again) {
            (Err(doubt), Again::Perhaps(order)) if doubt.executed() == Executed::Unknown => {
                (flight.answer, flight.again) = (desk.start_place(cx, order), Again::Is(doubt));
                flights.push(flight);
                continue;
            }
            // Whatever became of the second, nobody knows about the first.
            (Err(_), Again::Is(doubt)) => Err(doubt),
            (Ok(confirmation), Again::Is(_)) => Ok(Confirmation {
                // By the same customers.
                repeated: false,
                ..confirmation
            }),
            (answer, _) => answer,
        };
        let waited = cx.now().since(began).saturating_sub(flight.sent);
        tally.ended(flight.placed, waited, answer)?;
        progress.advance();
    }
}

/// Follows a parcel until it is delivered, and says where it has been.
fn track(cx: &mut Context, visit: Visit, id: &str) -> String {
    let order = OrderId {
        id: id.into(),
        visit: Some(visit),
    };
    let mut updates = ShippingClient::new("shipping").track(cx, order);
    let mut way = Vec::new();
    while let Some(update) = updates.next(cx) {
        way.push(match update {
            Ok(update) => format!("{} ({})", update.status, update.place),
            Err(error) => error.to_string(),
        });
    }
    format!("{id}: {}", way.join(", "))
}
