//! Lets contenders take turns at the same work, and says what each turn cost.

use std::time::{Duration, Instant};

use crate::bed::Bed;
use crate::contender::Contender;
use crate::fault::{Fault, Result, While};
use crate::load::visitor::{self, Visitor};
use crate::load::{Load, STEP, Walk, host, median};
use crate::options::Name;
use crate::process::Cpu;

/// Work that all do.
pub(crate) struct Work<'a> {
    /// As the report calls it.
    pub(crate) title: &'static str,
    pub(crate) tls: bool,
    pub(crate) path: &'static str,
    /// What the application answers there.
    pub(crate) expected: &'a [u8],
    /// Hosts that are asked for.
    pub(crate) tenants: usize,
    /// Routes are meant to grow old meanwhile: nobody waits until they have been looked up.
    pub(crate) ages: bool,
    /// Asks for so many seconds, beginning with that tenant.
    pub(crate) load: &'a dyn Fn(&Contender, usize, u64) -> Result<Load>,
}

/// One turn of one contender.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) work: &'static str,
    pub(crate) who: Name,
    pub(crate) round: usize,
    pub(crate) load: Load,
    pub(crate) cpu: Cpu,
    pub(crate) memory: u64,
    /// Routes that the store was asked for meanwhile.
    pub(crate) look_ups: f64,
    /// Assertions that were signed meanwhile.
    pub(crate) signed: f64,
    /// Access lines that were not written.
    pub(crate) lines_dropped: f64,
}

/// A value with the lowest and highest that the rounds gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Sample {
    /// Microseconds of processor time per request.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu.total() / self.load.requests as f64
    }

    /// Of these, outside the kernel.
    pub(crate) fn user(&self) -> f64 {
        self.cpu.user / self.load.requests as f64
    }
}

impl Figure {
    /// The median of what the rounds gave.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        let value = median(&mut values);
        Self {
            value,
            low: values.first().copied().unwrap_or(f64::NAN),
            high: values.last().copied().unwrap_or(f64::NAN),
        }
    }
}

/// All contenders do the same work in turns.
pub(crate) fn alternate(
    bed: &Bed,
    contenders: &[Contender],
    work: &Work<'_>,
) -> Result<Vec<Sample>> {
    let turns: Vec<_> = contenders.iter().map(|one| (one, work)).collect();
    take_turns(bed, &turns)
}

/// Each has a turn in each round; who begins changes from round to round.
pub(crate) fn take_turns(bed: &Bed, turns: &[(&Contender, &Work<'_>)]) -> Result<Vec<Sample>> {
    for (contender, work) in turns {
        check(bed, contender, work).when(|| contender.name.title().to_owned())?;
    }
    let mut samples = Vec::new();
    let mut last: Vec<Option<Instant>> = vec![None; turns.len()];
    for round in 0..bed.options.rounds {
        for turn in 0..turns.len() {
            let turn = (round + turn) % turns.len();
            let (contender, work) = turns[turn];
            let who = contender.name.title();
            if contender.name == Name::Vestibule && work.tenants > 1 && !work.ages {
                rest(last[turn]);
            }
            let sample = measure(bed, contender, work, round)
                .when(|| format!("{who}, round {}", round + 1))?;
            last[turn] = Some(Instant::now());
            eprintln!(
                "{}, round {}: {who} {:.1} µs a request ({:.1} of them user), {:.0} requests/s",
                work.title,
                round + 1,
                sample.cost(),
                sample.user(),
                sample.load.requests as f64 / sample.load.seconds
            );
            samples.push(sample);
        }
    }
    for (contender, work) in turns {
        check(bed, contender, work).when(|| contender.name.title().to_owned())?;
    }
    Ok(samples)
}

fn measure(bed: &Bed, contender: &Contender, work: &Work<'_>, round: usize) -> Result<Sample> {
    let start = round * 15_485_863;
    settle(contender, work, start)?;
    let (look_ups, signed) = (contender.routes_asked()?, contender.signed()?);
    let dropped = contender.metric(DROPPED)?;
    let before = contender.process.cpu()?;
    let load = (work.load)(contender, start, bed.options.seconds)?;
    let cpu = contender.process.cpu()? - before;
    let sample = Sample {
        work: work.title,
        who: contender.name,
        round,
        load: load.checked(contender.name.title())?,
        cpu,
        memory: contender.process.memory()?,
        look_ups: contender.routes_asked()? - look_ups,
        signed: contender.signed()? - signed,
        lines_dropped: contender.metric(DROPPED)? - dropped,
    };
    contender.empty_log()?;
    Ok(sample)
}

/// Waits until every assertion and every route of the turn that ended at `last` is old. Else all of them, made within a few seconds, would
/// grow old within a few seconds, and those might be the sample's.
fn rest(last: Option<Instant>) {
    let until = last.map(|last| last + GROWN_OLD);
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    std::thread::sleep(left.unwrap_or_default());
}

/// The same work, not counted: a second of it, and of Vestibule until every tenant was asked for and no route is looked up, no assertion
/// signed any more.
/// While others had their turns its routes and assertions have aged, all together, as they would not where visitors keep coming.
fn settle(contender: &Contender, work: &Work<'_>, start: usize) -> Result<()> {
    let mut asked = 0;
    for _ in 0..SETTLING {
        let before = contender.routes_asked()? + contender.signed()?;
        let load = (work.load)(contender, start + asked * STEP, 1)?;
        asked += usize::try_from(load.requests).unwrap_or(usize::MAX);
        let after = contender.routes_asked()? + contender.signed()?;
        let quiet = after - before <= load.requests as f64 / 100.0;
        // Of large answers so many cannot be asked for.
        let reach = SETTLING * usize::try_from(load.requests).unwrap_or(usize::MAX);
        let others = contender.name != Name::Vestibule;
        let all = asked >= work.tenants || others || reach < work.tenants;
        if work.ages || (quiet && all) {
            break;
        }
    }
    Ok(())
}

/// Asks for a few tenants and looks at every byte.
fn check(bed: &Bed, contender: &Contender, work: &Work<'_>) -> Result<()> {
    let connector = visitor::tls(&bed.authority, &["http/1.1"])?;
    let who = contender.name.title();
    bed.runtime.block_on(async {
        let mut walk = Walk::over(work.tenants, 0);
        for number in 0..CHECKED {
            let host = host(walk.next());
            let (to, tls) = match work.tls {
                true => (contender.https, Some((&connector, host.as_str()))),
                false => (contender.http, None),
            };
            let mut visitor = Visitor::arrive(to, number, tls).await?;
            let answer = visitor.ask(&host, work.path).await?;
            answer.expect(work.expected, who)?;
        }
        Ok::<_, Fault>(())
    })
}

/// How many times more `who` costs than `than`, round by round.
pub(crate) fn ratio(samples: &[Sample], who: Name, than: Name) -> Figure {
    ratio_of(
        samples,
        |sample| sample.who == who,
        |sample| sample.who == than,
    )
}

/// As [`ratio`], where something else than who it was tells the samples apart.
pub(crate) fn ratio_of(
    samples: &[Sample],
    these: impl Fn(&Sample) -> bool,
    those: impl Fn(&Sample) -> bool,
) -> Figure {
    let cost = |of: &dyn Fn(&Sample) -> bool, round| {
        let mut all = samples.iter();
        let sample = all.find(|sample| sample.round == round && of(sample));
        sample.map_or(f64::NAN, Sample::cost)
    };
    let rounds = samples.iter().map(|sample| sample.round + 1).max();
    let ratios = (0..rounds.unwrap_or(0)).map(|round| cost(&these, round) / cost(&those, round));
    Figure::of(ratios.collect())
}

/// What the samples of `who` say.
pub(crate) fn figure(samples: &[Sample], who: Name, value: impl Fn(&Sample) -> f64) -> Figure {
    let of_them = samples.iter().filter(|sample| sample.who == who);
    Figure::of(of_them.map(value).collect())
}

const DROPPED: &str = "vestibule_access_log_dropped_total";
/// `cache.ttl` as it is unless set, which is more than half of `signing.lifetime`, and a little.
const GROWN_OLD: Duration = Duration::from_secs(61);
/// Tenants whose answers are looked at before and after.
const CHECKED: usize = 20;
/// Seconds that settling may take.
const SETTLING: usize = 20;
