//! Requests about alerts: who is told, and whether they can be.

use super::{
    ControlError, ErrorKind, FiringAlert, Host, ListedAlertRoute, Response, Row, Sink, TestedAlertRoute,
    response::Answer,
};
use crate::{
    settings::FILE,
    store::{RouteRecord, Tried},
};

impl Host {
    /// Gives who is told, as of the host that was started last.
    pub(super) fn list_alert_routes(&self, sink: &mut Sink<'_>) -> Answer {
        for route in self.alert_routes()? {
            sink(Row::AlertRoute(route));
        }
        Ok(Response::Nothing)
    }

    /// Who is told, as of the host that was started last.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn alert_routes(&self) -> Result<Vec<ListedAlertRoute>, ControlError> {
        let routes = self.store().alert_routes()?.into_iter().map(|(name, route, waiting)| {
            let RouteRecord { to, on, lasting_ms, last, delivered, failed, dropped, .. } = route;
            ListedAlertRoute { name, to, on, lasting_ms, last: last.map(tried), waiting, delivered, failed, dropped }
        });
        Ok(routes.collect())
    }

    /// What lasts, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn firing_alerts(&self) -> Result<Vec<FiringAlert>, ControlError> {
        let alerts = self.store().firing_alerts()?.into_iter();
        let firing = alerts.map(|alert| FiringAlert {
            projection_name: alert.projection,
            kind: alert.kind,
            since: alert.since,
            message: alert.cause.message,
        });
        Ok(firing.collect())
    }

    /// Tells everybody, or the one who is named, that this is a test. The answer counts those whom it did not reach.
    pub(super) fn test_alerts(&self, name: Option<&str>, sink: &mut Sink<'_>) -> Answer {
        let routes = self.alerts();
        let names = || routes.iter().map(|route| route.name()).collect::<Vec<_>>().join(", ");
        if routes.is_empty() {
            return Err(ControlError::not_possible(format!(
                "nobody is told of anything: no [[alert]] is in the {FILE} with which the host was started"
            )));
        }
        if let Some(name) = name
            && !routes.iter().any(|route| route.name() == name)
        {
            return Err(ControlError::new(
                ErrorKind::NotFound,
                format!("no alert is named {name}; there are: {}", names()),
            ));
        }
        let (mut tested, mut failed) = (0, 0);
        for route in routes.iter().filter(|route| name.is_none_or(|name| route.name() == name)) {
            let error = route.test().err();
            tested += 1;
            failed += u64::from(error.is_some());
            let (name, to, delivered) = (route.name().to_owned(), route.to(), error.is_none());
            sink(Row::AlertTested(TestedAlertRoute { name, to, delivered, error }));
        }
        Ok(Response::AlertsTested(super::AlertsTested { tested, failed }))
    }
}

fn tried(Tried { at, error }: Tried) -> super::LastDelivery {
    super::LastDelivery { at, delivered: error.is_none(), error }
}
