//! The settings of the scheduler and of its webhooks.

use std::fmt;
use std::time::Duration;

use actors::scheduler::{Hold, Policy};

use super::node::ON_OFF;
use super::{InvalidSetting, Merged, parse_duration};

/// Secrets that are shorter can be guessed.
const SECRET_MIN: usize = 16;

/// Where aggregators outside say what has changed; `None` for a door that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Webhooks {
    /// `POST /events/advisories`.
    pub advisories: Option<Webhook>,
    /// `POST /events/vex`.
    pub vex: Option<Webhook>,
}

/// One door.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// What bodies are signed with.
    pub secret: Vec<u8>,
    /// At most so many …
    pub requests_max: u32,
    /// … within this time.
    pub window: Duration,
    /// How far an event's time may be from now.
    pub replay: Duration,
    /// Largest body.
    pub bytes_max: usize,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("requests_max", &self.requests_max).finish_non_exhaustive()
    }
}

/// How the scheduler is set; `usual` for what is `auto`.
pub(super) fn policy(merged: &Merged, usual: Policy) -> Result<Policy, InvalidSetting> {
    let auto = |key, usual| {
        merged.parse_with(key, |text| match text {
            "auto" => Ok(usual),
            time => parse_duration(time).map_err(|error| error.to_string()),
        })
    };
    let share = |key| {
        merged.parse_with(key, |text| match text.parse::<f32>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(format!("{text:?} is not between 0 and 1")),
        })
    };
    Ok(Policy {
        window: auto("scheduler.window", usual.window)?,
        patience: auto("scheduler.patience", usual.patience)?,
        rate_per_s: merged.parse_with("scheduler.rate", |text| match text.parse::<f32>() {
            Ok(rate) if rate > 0.0 && rate <= 1e6 => Ok(rate),
            _ => Err(format!("{text:?} is not above 0 and at most 1000000")),
        })?,
        outstanding: merged.parse_with("scheduler.outstanding", |text| match text.parse::<u32>() {
            Ok(images) if images > 0 => Ok(images),
            _ => Err(format!("{text:?} is not a number above 0")),
        })?,
        hold: Hold {
            withdrawn_records: merged.parse("scheduler.hold-withdrawn-records")?,
            withdrawn_share: share("scheduler.hold-withdrawn-share")?,
            share: share("scheduler.hold-share")?,
        },
        ..usual
    })
}

/// The doors that are switched on. One without a secret, or without the Valkey that counts for it, is refused.
pub(super) fn webhooks(merged: &Merged) -> Result<Webhooks, InvalidSetting> {
    Ok(Webhooks {
        advisories: webhook(merged, "webhooks.advisories", "webhooks.advisories-secret")?,
        vex: webhook(merged, "webhooks.vex", "webhooks.vex-secret")?,
    })
}

fn webhook(
    merged: &Merged,
    switch: &'static str,
    secret: &'static str,
) -> Result<Option<Webhook>, InvalidSetting> {
    if !merged.word(switch, &ON_OFF)? {
        return Ok(None);
    }
    merged.required("valkey.url")?;
    let secret = merged.parse_with(secret, |text| {
        if text.len() >= SECRET_MIN {
            Ok(text.as_bytes().to_vec())
        } else {
            Err(format!("it must have at least {SECRET_MIN} characters"))
        }
    })?;
    Ok(Some(Webhook {
        secret,
        requests_max: merged.parse("webhooks.requests-max")?,
        window: merged.duration("webhooks.window")?,
        replay: merged.duration("webhooks.replay-window")?,
        bytes_max: merged.parse("webhooks.bytes-max")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::{Environment, SettingFlags, merge};
    use super::*;

    fn merged<const N: usize>(env: [(&str, &str); N]) -> Merged {
        merge(&SettingFlags::default(), &Environment::of(env), None).unwrap()
    }

    #[test]
    fn a_webhook_is_off_unless_it_is_switched_on_with_a_secret_and_valkey() {
        let valkey = ("STARLING_VALKEY_URL", "redis://valkey");
        let on = ("STARLING_WEBHOOKS_VEX", "on");
        let secret = ("STARLING_WEBHOOKS_VEX_SECRET", "0123456789abcdef");
        assert_eq!(webhooks(&merged([valkey])), Ok(Webhooks::default()));
        let good = webhooks(&merged([valkey, on, secret])).unwrap();
        assert_eq!(good.advisories, None);
        let door = good.vex.unwrap();
        assert_eq!((door.requests_max, door.window), (120, Duration::from_secs(60)));
        let refused = |merged: &Merged| webhooks(merged).unwrap_err().to_string();
        assert!(refused(&merged([valkey, on])).starts_with("webhooks.vex-secret is not set"));
        assert!(refused(&merged([on, secret])).starts_with("valkey.url is not set"));
        let short = ("STARLING_WEBHOOKS_VEX_SECRET", "guess");
        assert!(refused(&merged([valkey, on, short])).contains("at least 16 characters"));
    }

    #[test]
    fn auto_is_the_profile_and_shares_are_shares() {
        let usual = Policy::default().test_profile();
        assert_eq!(policy(&merged([]), usual.clone()).unwrap(), usual);
        let window = policy(&merged([("STARLING_SCHEDULER_WINDOW", "45s")]), usual.clone()).unwrap().window;
        assert_eq!(window, Duration::from_secs(45));
        assert!(policy(&merged([("STARLING_SCHEDULER_HOLD_SHARE", "2")]), usual.clone()).is_err());
        assert!(policy(&merged([("STARLING_SCHEDULER_RATE", "0")]), usual).is_err());
    }
}
