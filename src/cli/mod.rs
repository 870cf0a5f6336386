//! The command line: for every role, with `--json` for programs.
//!
//! | file | commands |
//! |---|---|
//! | `server` | `init`, `serve`, `doctor` |
//! | `people` | `me`, `principal`, `token`, `key`, `policy`, `freeze` |
//! | `data` | `dataset`, `plan` |
//! | `papers` | `authorisation`, `application`, `agreement` |
//! | `modules` | `module` |
//! | `private` | `budget`, `private` |
//! | `verify` | `issuer`, `verification` |
//! | `jobs`, `releases`, `reviewer` | `job`, `release`, `reviewer` |
//! | `supervision` | `alert`, `order`, `indicators` |
//! | `log` | `log`: checkpoint, fetch, offline verification |
//! | `bundle`, `witness` | `verify`: a bundle checked offline; `witness`: the process that cosigns the log |
//! | `dev` | `dev new`, `dev run`: a module on the author's own machine |
//! | `demo` | the main job end to end through real processes |
//!
//! A command fails with exit code 1, a wrong command line with 2. Tokens come from a file or the environment, never from the line.

mod bundle;
mod client;
mod data;
mod demo;
mod dev;
mod error;
mod files;
mod jobs;
mod log;
mod modules;
mod output;
mod papers;
mod people;
mod private;
mod recovery;
mod releases;
mod reviewer;
mod server;
mod verify;
mod witness;
mod supervision;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use zeroize::Zeroizing;

use client::Client;
use error::CliError;
pub use files::Files;
use output::Answer;

/// A secure sandbox for developing on fused public and non-public data.
#[derive(Debug, Parser)]
#[command(name = "fusebox", version, propagate_version = true)]
struct Cli {
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    command: Command,
}

/// Where the server is, and who we are to it.
#[derive(Debug, Args)]
struct Remote {
    /// Address of the server.
    #[arg(long, global = true, env = "FUSEBOX_SERVER", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    server: String,
    /// File that holds the token; without it, the variable FUSEBOX_TOKEN.
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the authority that signed the server's certificate (https).
    #[arg(long, global = true, env = "FUSEBOX_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a data directory: keys, tables, log, the first account.
    Init(server::Init),
    /// Run the server.
    Serve(server::Serve),
    /// State of the server and of this machine.
    Doctor,
    /// A module on its author's own machine.
    #[command(subcommand)]
    Dev(dev::DevCommand),
    /// The main job end to end, on made-up firms.
    Demo(demo::Demo),
    /// Who the token stands for.
    Me,
    /// Accounts.
    #[command(subcommand)]
    Principal(people::PrincipalCommand),
    /// Tokens.
    #[command(subcommand)]
    Token(people::TokenCommand),
    /// Signing keys of an organisation.
    #[command(subcommand)]
    Key(people::KeyCommand),
    /// Release policies.
    #[command(subcommand)]
    Policy(people::PolicyCommand),
    /// Stop releases, or let them go on.
    #[command(subcommand)]
    Freeze(people::FreezeCommand),
    /// A database that is behind what is remembered of its log.
    #[command(subcommand)]
    Recover(recovery::RecoverCommand),
    /// Catalogue entries, imports, consent.
    #[command(subcommand)]
    Dataset(data::DatasetCommand),
    /// Fusion plans.
    #[command(subcommand)]
    Plan(data::PlanCommand),
    /// The authority's authorisations.
    #[command(subcommand)]
    Authorisation(papers::AuthorisationCommand),
    /// Applications for data.
    #[command(subcommand)]
    Application(papers::ApplicationCommand),
    /// Data use agreements.
    #[command(subcommand)]
    Agreement(papers::AgreementCommand),
    /// Modules.
    #[command(subcommand)]
    Module(modules::ModuleCommand),
    /// Privacy budgets.
    #[command(subcommand)]
    Budget(private::BudgetCommand),
    /// Folds: noised answers within a privacy budget.
    Private(private::Private),
    /// Issuers of consent tokens.
    #[command(subcommand)]
    Issuer(verify::IssuerCommand),
    /// Questions about one consenting subject.
    #[command(subcommand)]
    Verification(verify::VerificationCommand),
    /// Jobs.
    #[command(subcommand)]
    Job(jobs::JobCommand),
    /// Held outputs and releases.
    #[command(subcommand)]
    Release(releases::ReleaseCommand),
    /// Reviewers of held outputs.
    #[command(subcommand)]
    Reviewer(reviewer::ReviewerCommand),
    /// Alerts for supervisors.
    #[command(subcommand)]
    Alert(supervision::AlertCommand),
    /// Orders to put something right.
    #[command(subcommand)]
    Order(supervision::OrderCommand),
    /// Figures of the last days.
    Indicators {
        /// How many.
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// The release log.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Check the bundle of a release offline, with public keys only.
    Verify(bundle::Verify),
    /// Run a witness: it cosigns a log's checkpoints, with a key and a folder of its own.
    Witness(witness::Witness),
}

/// What commands share.
struct Context {
    files: Files,
    json: bool,
    remote: Remote,
}

impl Context {
    /// A client of the server that the command line names.
    fn client(&self) -> Result<Client, CliError> {
        let token = match &self.remote.token_file {
            Some(path) => Some(client::token_from_file(self.files, path)?),
            None => std::env::var("FUSEBOX_TOKEN").ok().filter(|t| !t.is_empty()).map(Zeroizing::new),
        };
        let ca = self.remote.ca_file.as_deref().map(|path| self.files.read(path)).transpose()?;
        Client::new(&self.remote.server, token, ca.as_deref())
    }
}

/// Runs the command of this process's command line. `files` is what the user's paths are reached through.
pub fn run(files: Files) -> ExitCode {
    // A wrong line ends here with exit code 2.
    let Cli { json, remote, command } = Cli::parse();
    let context = Context { files, json, remote };
    match perform(&context, command) {
        Ok(answer) => {
            answer.print(json);
            if answer.good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            output::warn(&if json { error.to_json().to_string() } else { error.to_string() });
            ExitCode::FAILURE
        }
    }
}

fn perform(context: &Context, command: Command) -> Result<Answer, CliError> {
    match command {
        Command::Init(arguments) => server::init(context, arguments),
        Command::Serve(arguments) => server::serve(context, arguments),
        Command::Doctor => server::doctor(context),
        Command::Dev(command) => dev::dev(context, command),
        Command::Demo(arguments) => demo::demo(context, arguments),
        Command::Me => people::me(context),
        Command::Principal(command) => people::principal(context, command),
        Command::Token(command) => people::token(context, command),
        Command::Key(command) => people::key(context, command),
        Command::Policy(command) => people::policy(context, command),
        Command::Freeze(command) => people::freeze(context, &command),
        Command::Recover(command) => recovery::recover(context, &command),
        Command::Dataset(command) => data::dataset(context, command),
        Command::Plan(command) => data::plan(context, command),
        Command::Authorisation(command) => papers::authorisation(context, command),
        Command::Application(command) => papers::application(context, command),
        Command::Agreement(command) => papers::agreement(context, command),
        Command::Module(command) => modules::module(context, command),
        Command::Budget(command) => private::budget(context, &command),
        Command::Private(command) => private::private(context, &command),
        Command::Issuer(command) => verify::issuer(context, command),
        Command::Verification(command) => verify::verification(context, command),
        Command::Job(command) => jobs::job(context, command),
        Command::Release(command) => releases::release(context, command),
        Command::Reviewer(command) => reviewer::reviewer(context, command),
        Command::Alert(command) => supervision::alert(context, command),
        Command::Order(command) => supervision::order(context, command),
        Command::Indicators { days } => supervision::indicators(context, days),
        Command::Log(command) => log::log(context, command),
        Command::Verify(arguments) => bundle::verify(context, &arguments),
        Command::Witness(arguments) => witness::witness(context, arguments),
    }
}
