//! A key record's bytes: what the flow keeps per key beside the nonce.
