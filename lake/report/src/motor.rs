//! The charts of the motor data, as the AWS pipeline drew them in QuickSight.

use lakefeed_core::Result;

use crate::chart::{Labels, Series, bars, boxes, lines, scatter};
use crate::page::{Figure, table};
use crate::{Source, number, text};

/// What a line is thinned out to, and the dots of a scatter plot.
const POINTS: usize = 600;
const DOTS: usize = 1500;

const COLUMNS: [&str; 9] = ["profile_id", "id", "pm", "motor_speed", "coolant", "ambient", "stator_yoke", "stator_tooth", "stator_winding"];

/// Whether a table holds motor data.
pub(crate) fn has_columns(columns: &[(String, String)]) -> bool {
    COLUMNS.iter().all(|wanted| columns.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted)))
}

pub(crate) fn figures(source: &Source<'_>) -> Result<Vec<Figure>> {
    let units = Units::of(source)?;
    let profiles = source.rows(
        "SELECT profile_id, count(*), round(avg(motor_speed), 3), round(avg(coolant), 3), round(avg(ambient), 3), round(min(pm), 3), \
         round(quantile_cont(pm, 0.25), 3), round(median(pm), 3), round(quantile_cont(pm, 0.75), 3), round(max(pm), 3) \
         FROM {t} GROUP BY profile_id ORDER BY profile_id",
    )?;
    let mut figures = vec![readings(&profiles)];
    figures.extend(over_time(source, &units)?);
    figures.extend(against(source, &units)?);
    figures.push(magnet_boxes(&profiles, &units));
    figures.push(numbers(&profiles, &units));
    Ok(figures)
}

/// The data set exists with physical units and standardised, with means of about 0 and deviations of about 1.
struct Units {
    temperature: &'static str,
    speed: &'static str,
}

impl Units {
    fn of(source: &Source<'_>) -> Result<Self> {
        let row = source.rows("SELECT max(abs(motor_speed)) FROM {t}")?;
        let standardised = row.first().and_then(|r| number(r, 0)).is_some_and(|highest| highest < 10.0);
        Ok(if standardised {
            Self { temperature: "standardised", speed: "standardised" }
        } else {
            Self { temperature: "°C", speed: "rpm" }
        })
    }

    fn temperature(&self, of: &str) -> String {
        format!("{of} [{}]", self.temperature)
    }
}

fn readings(profiles: &[Vec<Option<String>>]) -> Figure {
    let values: Vec<(String, f64)> = profiles.iter().filter_map(|r| Some((text(r, 0).to_owned(), number(r, 1)?))).collect();
    let title = "Readings per profile";
    Figure {
        title: title.into(),
        note: "A profile is one session on the test bench.".into(),
        html: bars(Labels { title, x: "profile", y: "readings" }, &values),
    }
}

/// The session with the most readings, thinned out to means of equal stretches.
fn over_time(source: &Source<'_>, units: &Units) -> Result<Vec<Figure>> {
    let rows = source.rows(&format!(
        "WITH one AS (SELECT * FROM {{t}} WHERE profile_id = (SELECT profile_id FROM {{t}} GROUP BY profile_id ORDER BY count(*) DESC, \
         profile_id LIMIT 1)), numbered AS (SELECT *, row_number() OVER (ORDER BY id) - 1 AS n, count(*) OVER () AS total FROM one) \
         SELECT min(n) / 120.0, avg(stator_yoke), avg(stator_tooth), avg(stator_winding), avg(pm), avg(motor_speed), any_value(profile_id) \
         FROM numbered GROUP BY n * {POINTS} // greatest(total, {POINTS}) ORDER BY 1"
    ))?;
    let profile = rows.first().map_or("", |r| text(r, 6)).to_owned();
    let points = |column: usize| -> Vec<(f64, f64)> { rows.iter().filter_map(|r| Some((number(r, 0)?, number(r, column)?))).collect() };
    let series = |name, column| Series { name, points: points(column) };
    let x = "time [min]";
    let stator = format!("Stator temperatures, profile {profile}");
    let magnet = format!("Magnet temperature and motor speed, profile {profile}");
    let (temperature, magnet_y) = (units.temperature("temperature"), units.temperature("pm"));
    let speed_y = format!("motor_speed [{}]", units.speed);
    let together = lines(
        Labels { title: &stator, x, y: &temperature },
        &[series("stator_yoke", 1), series("stator_tooth", 2), series("stator_winding", 3)],
    );
    let beside = lines(Labels { title: &magnet, x, y: &magnet_y }, &[series("pm", 4)])
        + &lines(Labels { title: &magnet, x, y: &speed_y }, &[series("motor_speed", 5)]);
    let note = "The session with the most readings, two a second; long ones are drawn as means of equal stretches.";
    Ok(vec![Figure { title: stator, note: note.into(), html: together }, Figure { title: magnet, note: note.into(), html: beside }])
}

fn against(source: &Source<'_>, units: &Units) -> Result<Vec<Figure>> {
    // The order by a hash is a sample that is the same each time.
    let rows =
        source.rows(&format!("SELECT pm, coolant, ambient FROM {{t}} ORDER BY hash(profile_id, id), profile_id, id LIMIT {DOTS}"))?;
    let pairs = [("Coolant", "coolant", 1, "pm", 0), ("Ambient", "ambient", 2, "pm", 0), ("Ambient", "ambient", 2, "coolant", 1)];
    let figure = |(name, y, y_column, x, x_column): (&str, &str, usize, &str, usize)| {
        let points: Vec<_> = rows.iter().filter_map(|r| Some((number(r, x_column)?, number(r, y_column)?))).collect();
        let title = format!("{name} against {} temperature", if x == "pm" { "magnet" } else { x });
        let labels = Labels { title: &title, x: &units.temperature(x), y: &units.temperature(y) };
        let html = scatter(labels, &points);
        Figure { note: format!("A sample of {} readings of all profiles.", points.len()), title, html }
    };
    Ok(pairs.map(figure).into())
}

fn magnet_boxes(profiles: &[Vec<Option<String>>], units: &Units) -> Figure {
    let five = |r: &Vec<Option<String>>| Some([number(r, 5)?, number(r, 6)?, number(r, 7)?, number(r, 8)?, number(r, 9)?]);
    let values: Vec<(String, [f64; 5])> = profiles.iter().filter_map(|r| Some((text(r, 0).to_owned(), five(r)?))).collect();
    let title = "Magnet temperature per profile";
    Figure {
        title: title.into(),
        note: "Boxes from the lower to the upper quartile with the median, lines to the lowest and highest reading.".into(),
        html: boxes(Labels { title, x: "profile", y: &units.temperature("pm") }, &values),
    }
}

fn numbers(profiles: &[Vec<Option<String>>], units: &Units) -> Figure {
    let header = [
        "profile",
        "readings",
        "mean speed",
        "mean coolant",
        "mean ambient",
        "pm min",
        "pm lower quartile",
        "pm median",
        "pm upper quartile",
        "pm max",
    ];
    Figure {
        title: "The numbers".into(),
        note: format!("Temperatures in {}, speed in {}.", units.temperature, units.speed),
        html: table(&header, profiles),
    }
}
