//! A museum: a hall with room for so many, and a door.

use monofil::prelude::*;

mod proto {
    monofil::include_proto!();
}
use proto::museum::{Door, DoorServer, Hall, HallClient, HallServer, Ticket, Visitor};

#[cfg(test)]
mod tests;

/// Counts who was let in.
struct GreatHall {
    room: u32,
    admitted: u32,
}

impl Hall for GreatHall {
    fn admit(&mut self, _: &mut Context, visitor: Visitor) -> Result<Ticket, Status> {
        if self.admitted == self.room {
            let text = format!("there is no room for {}", visitor.name);
            return Err(Status::resource_exhausted(text));
        }
        self.admitted += 1;
        Ok(Ticket {
            number: self.admitted,
        })
    }
}

/// Asks the hall, wherever that runs.
struct FrontDoor {
    hall: HallClient,
}

impl Door for FrontDoor {
    fn enter(&mut self, cx: &mut Context, visitor: Visitor) -> Result<Ticket, Status> {
        Ok(self.hall.admit(cx, visitor)?)
    }
}

fn hall(room: u32) -> HallServer<GreatHall> {
    HallServer::new(GreatHall { room, admitted: 0 })
}

fn door() -> DoorServer<FrontDoor> {
    DoorServer::new(FrontDoor {
        hall: HallClient::new("hall"),
    })
}

fn main() -> ExitCode {
    App::new("museum")
        .component("hall", || hall(100))
        .component("door", door)
        .main()
}
