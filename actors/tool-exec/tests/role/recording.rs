//! The end of a call is kept until it is in the log.

use crate::{
    puppet::Puppet,
    stage::{Said, Scene, result},
};
use serde_json::json;
use troupe_messages::{ProcessExit, ToolMessage};
use troupe_types::{CommandEnd, Outcome};

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_is_told_again_until_it_is_recorded() {
    let (mut process, running) = Puppet::new(0);
    let mut stage = Scene::new("shell", &json!({"command": "make"})).begin();
    stage.reach_launch().await;
    stage.launched(running);
    stage.quiet().await;
    process.print(b"known\n").await;
    process.end(ProcessExit::Code(0));
    let told = stage.told_end().await;
    assert_eq!(result(&told).output.head, "known\n");
    // Nothing changes it any more.
    for message in [ToolMessage::Cancel, ToolMessage::StartRecorded] {
        stage.tell(message);
        stage.quiet().await;
    }
    stage.tell(ToolMessage::Report);
    assert_eq!(stage.told_end().await, told);
    stage.tell(ToolMessage::FinishRecorded);
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_told_again_with_its_end() {
    let plan = json!({"plan": [{"step": "look", "status": "pending"}]});
    let mut stage = Scene::new("update_plan", &plan).begin();
    let Said::Planned(planned) = stage.next().await else { panic!("no plan") };
    let told = stage.told_end().await;
    stage.tell(ToolMessage::Report);
    let Said::Planned(again) = stage.next().await else { panic!("no plan") };
    assert_eq!((again, stage.told_end().await), (planned, told));
    stage.tell(ToolMessage::FinishRecorded);
    stage.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_in_the_background_keeps_both_of_its_ends() {
    let (mut process, running) = Puppet::new(0);
    let command = json!({"cmd": "serve", "yield_time_ms": 250});
    let mut stage = Scene::new("exec_command", &command).begin();
    stage.reach_launch().await;
    stage.launched(running);
    let told = stage.told_end().await;
    assert_eq!(result(&told).end, CommandEnd::Running { process: 12 });
    process.end(ProcessExit::Code(3));
    let ended = stage.ended().await;
    assert_eq!((&ended.outcome, ended.exit_code), (&Outcome::Completed, Some(3)));
    stage.tell(ToolMessage::Report);
    assert_eq!(stage.told_end().await, told);
    assert_eq!(stage.ended().await, ended);
    // Once it is recorded only the end of the process is told again.
    stage.tell(ToolMessage::FinishRecorded);
    stage.tell(ToolMessage::Report);
    assert_eq!(stage.ended().await, ended);
    stage.quiet().await;
}
