//! Options as a binary reads them, for the tests of each group of flags.

#[derive(Debug, clap::Parser)]
pub(crate) struct Options<F: clap::Args> {
    #[command(flatten)]
    pub(crate) flags: F,
}
