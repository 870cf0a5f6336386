//! Departure delay by origin and wind band: flights of the airport company, weather of the public service.

use fusebox_guest::{Error, View, table};

fusebox_guest::module! {
    name: "delay_by_wind",
    version: "0.1.0",
    derived: { "wind_band": category["calm", "light", "moderate", "strong"] },
    tables: { "delay_by_wind": ["flights", "aircraft", "delay_mean", "delay_median"] },
    run: run,
}

/// Label of a wind speed, in hundredths of a mile an hour.
fn band(speed: i64) -> u32 {
    match speed {
        ..5_00 => 0,
        5_00..12_00 => 1,
        12_00..20_00 => 2,
        _ => 3,
    }
}

fn run(view: &View) -> Result<(), Error> {
    let wind = view.number("wind_speed")?;
    view.derive_category("wind_band", |rows, out| out.extend(wind.read(rows).iter().map(|speed| speed.map(band))))?;
    table("delay_by_wind")
        .keys(["origin", "wind_band"])
        .count("flights")
        .units("aircraft")
        .mean("delay_mean", "dep_delay")
        .quantile("delay_median", "dep_delay", 500)
        .request();
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn bands_meet_without_a_gap() {
        let of = |speed| super::band(speed);
        assert_eq!([of(0), of(4_99), of(5_00), of(11_99), of(12_00), of(19_99), of(20_00)], [0, 0, 1, 1, 2, 2, 3]);
    }
}
