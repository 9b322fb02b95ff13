//! Everything that can be wrong, by id. Ids are stable: people write them into settings, comments and issues.
//!
//! SG0xx files and YAML, SG1xx events and schemas, SG2xx handlers, SG3xx flow, SG4xx settings that weaken the
//! guarantee. Whoever finds something names the rule here; its page and its check are in `src/lint`.

use super::Level;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub id: &'static str,
    /// Unless a project says otherwise.
    pub level: Level,
    pub summary: &'static str,
}

/// A constant for each rule, and all of them in a table: none can be left out of it.
macro_rules! rules {
    ($($name:ident $id:literal $level:ident $summary:literal)*) => {
        $(
            #[doc = $summary]
            pub const $name: Rule = Rule { id: $id, level: Level::$level, summary: $summary };
        )*
        /// Every rule, by id.
        pub const RULES: &[Rule] = &[$($name),*];
    };
}

rules! {
    NOT_YAML           "SG001" Error   "a file is not YAML"
    UNKNOWN_KEY        "SG002" Error   "a key that nothing reads"
    MISSING_FILE       "SG003" Error   "a file or directory that is not there"
    UNSET_VARIABLE     "SG004" Error   "a variable or secret that is not set"
    WRONG_SHAPE        "SG005" Error   "a value of another kind than is asked for"
    GIVEN_TWICE        "SG006" Error   "something is given or listed twice"
    NOT_SAID           "SG007" Error   "something that is needed is not said"
    UNKNOWN_CHOICE     "SG008" Error   "a choice that there is not"
    UNUSABLE_FILE      "SG009" Error   "a file that cannot be used"
    BAD_FIGURE         "SG010" Error   "a duration, size or number that cannot be used"
    BAD_NAME           "SG011" Error   "a name that cannot be used"
    BAD_REFERENCE      "SG012" Error   "a `${…}` that refers to nothing"
    CONTRADICTION      "SG013" Error   "two settings that exclude each other"
    UNKNOWN_FORMAT     "SG014" Error   "a file of a format that this release does not read"
    SAME_NAME          "SG015" Error   "two things under one name"
    BAD_ADDRESS        "SG016" Error   "an address that cannot be used"
    OPEN_DOOR          "SG017" Error   "an admin address that is open to everyone"
    UNKNOWN_RULE       "SG018" Warning "a rule of `sluice lint` that there is not"
    FIXED_RULE         "SG019" Warning "a rule is turned down that cannot be"
    UNUSED_ALLOW       "SG020" Warning "an `allow` that allows nothing"
    NOT_HERE           "SG021" Info    "a variable or secret that is not set here"

    NO_SCHEMA          "SG101" Error   "an event's version without a schema"
    BAD_SCHEMA         "SG102" Error   "a schema that cannot be used"
    BROKEN_REF         "SG103" Error   "a `$ref` that leads nowhere"
    BROKEN_UPCAST      "SG104" Error   "upcasts that do not lead to the newest version"
    BAD_PATH           "SG105" Error   "a path that cannot lead to anything in an event"
    BAD_MAPPING        "SG106" Error   "an envelope's map that cannot be used"
    NOT_PAST_TENSE     "SG110" Warning "an event that is not named as a fact"
    THIN_EVENT         "SG111" Info    "an event that says nothing but ids"
    ACCEPTS_NOTHING    "SG112" Warning "a schema that no event can match"
    ACCEPTS_ANYTHING   "SG113" Warning "a schema that every event matches"
    ALMOST_KEYWORD     "SG114" Warning "a word in a schema that is almost one of JSON Schema's"
    ALMOST_DESCRIBED        "SG115" Warning "a required property that is almost one that is described"
    MAY_LACK           "SG116" Warning "a key, number or time that a valid event may lack"

    SCRIPT_SYNTAX      "SG201" Error   "a script that does not parse"
    UNKNOWN_FUNCTION   "SG202" Error   "a call of a function that there is not"
    UNKNOWN_VARIABLE   "SG203" Error   "a variable that is not in scope"
    HANDLER_ONLY       "SG204" Error   "an effect outside of a handler"
    HIDDEN_NAME        "SG205" Error   "a variable that hides what a script is given"
    READ_ONLY          "SG206" Error   "a change of what is read-only"
    IN_USE             "SG207" Error   "a closure that uses what the call around it holds"
    UNBOUNDED_SWITCH   "SG208" Error   "a `switch` over what may hold functions"
    BAD_IMPORT         "SG209" Error   "an import that fails"
    FOLDED_SCRIPT      "SG210" Error   "a script whose lines are joined by YAML"
    UNKNOWN_PROPERTY   "SG220" Error   "a property that no event has"
    MAY_BE_ABSENT      "SG221" Warning "a value that may be absent, used as if it were there"
    WRONG_TYPE         "SG222" Error   "an operation on values that it cannot take"
    REFUSED_DATA       "SG223" Error   "data that its schema refuses"
    NEVER_EQUAL        "SG224" Warning "a comparison of what is never equal"
    UNWRITTEN          "SG225" Warning "a part of the state that nothing writes"
    LOST_CHANGE        "SG226" Warning "a change of a copy that nobody sees"
    WITHOUT_CASE       "SG227" Info    "a `switch` without a case for some values"
    UNDECLARED         "SG228" Error   "an emission that is not declared"
    NEVER_EMITTED      "SG229" Warning "a declared emission that no handler makes"

    NO_CONNECTION      "SG301" Error   "a channel without the connection it needs"
    UNPUBLISHABLE      "SG302" Error   "a channel that cannot be published to"
    DEAD_LETTER_LOOP   "SG303" Error   "a pipeline that reads its own dead letters"
    STREAM_LIMITS      "SG304" Error   "two channels that disagree about one stream"
    SHARED_CONSUMER    "SG305" Error   "two pipelines that would share a consumer"
    ALMOST_LISTED      "SG306" Warning "a channel that is almost one that is listed"
    SECOND_HANDLER     "SG307" Error   "an event with two subscriptions, or declared twice"
    AFTER_UNKNOWN      "SG308" Error   "`after` a type that the pipeline does not take"
    AFTER_CIRCLE       "SG309" Error   "events that wait for each other for ever"
    NO_KEY             "SG310" Error   "a pipeline that does not say what its events are about"
    UNUSED_CHANNEL     "SG311" Warning "a channel that nobody reads or feeds"
    EVENT_LOOP         "SG312" Warning "events that cause each other without an end"
    NEVER_COMES        "SG313" Warning "a subscription to what its channel never has"
    SCENARIO_UNKNOWN   "SG320" Error   "a scenario about what there is not"
    SCENARIO_DATA      "SG321" Error   "an event of a scenario that does not match its schema"
    SCENARIO_UNCLEAR   "SG322" Error   "a scenario's event that may mean several"

    RETRIED_TOO_LONG   "SG401" Warning "events that are forgotten while they are retried"
    WAITS_TOO_LONG     "SG402" Warning "events that are forgotten while they wait"
    HELD_TOO_LONG      "SG403" Error   "events that are forgotten while they are held"
    VOLATILE_STORE     "SG404" Warning "a store that forgets when the process ends"
    NO_DEAD_LETTER     "SG405" Warning "dead letters that are kept in one server only"
    RELAXED_STORE      "SG406" Info    "a store that may lose its last moments"
    SAME_ID            "SG407" Info    "events that are told apart by their id alone"
    ADVANCES           "SG408" Info    "events that are handled without what they wait for"
    NO_ID              "SG409" Info    "events without an id of their own"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_in_order_and_ids_unique() {
        assert!(RULES.windows(2).all(|pair| pair[0].id < pair[1].id));
    }
}
