//! An event tells what happened, and is named so.

use crate::lint::{Findings, Project};
use crate::spec::program::Envelope;

/// Endings of participles: `shipped`, `taken`, `sent`, `known`, and of many other words. These are in doubt, and left alone.
const DOUBTFUL: [&str; 3] = ["d", "n", "t"];
/// Nouns and verbs that end so all the same.
const NO_PARTICIPLES: [&str; 7] = ["account", "add", "command", "event", "import", "insert", "request"];
/// Endings that only nouns have.
const NOUNS: [&str; 3] = ["ment", "tion", "sion"];
/// What happened, with another ending.
const IRREGULAR: &str = "\
    arose ate became become blew bore broke came chose clung come done drank drew drove drunk dug fell flew \
    flung forgave froze gave gone grew hung knew lay made outdone overcame overcome overtook rang redone \
    remade rode rose rung sang sank saw shone shook shrank shrunk slung spoke sprang sprung stole struck \
    stuck stung sung sunk swam swore swum swung threw took tore undertook undone was were withdrew woke wore \
    wove wrote";

pub fn check(project: &Project<'_>, findings: &mut Findings) {
    for event in project.events() {
        // Whoever maps the messages of others did not name them.
        let ours = |name: &&_| {
            let channel = project.program.channels.get(*name);
            channel.is_none_or(|channel| !matches!(channel.envelope, Envelope::Map(_)))
        };
        let foreign = !event.from.is_empty() && !event.from.iter().any(ours);
        if !foreign && is_no_fact(event.kind) {
            let message = format!("`{}` is not named as something that happened", event.kind);
            findings.add(
                project.at_event(event),
                message,
                "events are facts: name it in the past tense, like `OrderCreated`",
            );
        }
    }
}

/// Sure of it: where there is doubt, it may be a fact.
fn is_no_fact(name: &str) -> bool {
    let words = words(name);
    let unnumbered = words.iter().rev().map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()));
    let Some(last) = unnumbered.into_iter().find(|word| !word.is_empty() && *word != "v") else { return false };
    if NO_PARTICIPLES.contains(&last) || NOUNS.iter().any(|ending| last.ends_with(ending)) {
        return true;
    }
    let doubtful = DOUBTFUL.iter().any(|ending| last.ends_with(ending)) || last.len() < 3;
    !doubtful && !IRREGULAR.split(' ').any(|word| word == last)
}

/// `com.example.orderCreated` is `com`, `example`, `order`, `created`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut lower_before = false;
    for c in name.chars() {
        let begins = !c.is_ascii_alphanumeric() || (c.is_ascii_uppercase() && lower_before);
        if begins {
            words.push(String::new());
        }
        lower_before = c.is_ascii_lowercase() || c.is_ascii_digit();
        if let (true, Some(word)) = (c.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(c.to_ascii_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_left_alone_also_irregular_and_doubtful_ones() {
        for name in [
            "OrderCreated",
            "order.created",
            "order_shipped",
            "com.example.order.created.v2",
            "PaymentSent",
            "OrderPaid",
            "PasswordReset",
            "StockSold",
            "BidWon",
            "LinkClicked",
            "OrderMade",
            "JobDone",
            "PhoneRung",
            "ItemTaken",
            "OrderSplit",
            "Order-Placed",
            "WelcomeRequested",
            "X",
            "A1",
            "ORDER_CREATED",
            "UserLoggedIn2",
            "FileRead",
            "SaleBegun",
            "PriceRose",
            "PriceFell",
            "SealBroke",
        ] {
            assert!(!is_no_fact(name), "{name}");
        }
    }

    #[test]
    fn commands_and_things_are_found() {
        for name in [
            "CreateOrder",
            "Order",
            "OrderUpdate",
            "order.delete",
            "Payment",
            "UserRegistration",
            "OrderEvent",
            "SendInvoice.v2",
        ] {
            assert!(is_no_fact(name), "{name}");
        }
    }
}
