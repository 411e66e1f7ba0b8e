//! The description of the interface (OpenAPI 3.1), made from what answers: the tables of routes, and the types of bodies and answers.

use super::{
    Api,
    answer::whose,
    given::Given,
    own::{Kind, OWN, Own},
    problem::{Document, STATUSES},
    routes::{Body, ROUTES, Route, Shape},
};
use crate::{
    control::{Request, Role, Shows},
    vocabulary::Work,
};
use axum::{
    extract::Request as HttpRequest,
    http::header,
    response::{IntoResponse, Response},
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use std::{
    path::PathBuf,
    sync::{Arc, LazyLock},
};

/// Where the schemas of types are.
const SCHEMAS: &str = "/components/schemas";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = document();
    serde_json::to_string_pretty(&document).unwrap_or_else(|_| document.to_string())
});

/// Gives the description to somebody who is known.
pub async fn openapi(api: Arc<Api>, request: HttpRequest) -> Response {
    let (parts, _) = request.into_parts();
    match whose(&api, &parts) {
        Ok(_) => ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The schemas of what is sent, and of what is answered: of one type they may differ in what must be there.
struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

/// The description.
fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut schemas = Schemas {
        sent: settings.clone().for_deserialize().into_generator(),
        answered: settings.for_serialize().into_generator(),
    };
    let problem = json!(schemas.answered.subschema_for::<Document>());
    let mut paths = Map::new();
    let mut add = |path: &str, method: &str, operation: Value| {
        let of_path = paths.entry(path.to_owned()).or_insert_with(|| json!({}));
        of_path[method.to_ascii_lowercase()] = operation;
    };
    for route in ROUTES {
        // Without what it needs there is no request; it has that.
        if let Ok(request) = sample(route, &mut schemas.sent) {
            add(route.path, route.method, of_route(route, &request, &mut schemas));
        }
    }
    for own in OWN {
        add(own.path, own.method, of_own(own, &mut schemas));
    }
    let mut types = schemas.answered.take_definitions(true);
    types.extend(schemas.sent.take_definitions(true));
    types.sort_keys();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Unspool",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Requests to a host. An answer is what the command of the same name gives with --json; a refusal is a problem \
                            document (RFC 9457) with the words and the exit code of that command.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "security": [{ "token": [] }, { "session": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "unspool token add NAME --role ROLE" },
                "session": { "type": "apiKey", "in": "cookie", "name": "unspool", "description": "POST /v1/session; the cookie is \
                             named __Host-unspool where TLS protects the host." },
            },
            "responses": responses(&problem),
            "schemas": types,
        },
    })
}

/// A request of the route, with nothing but what it needs.
fn sample(route: &Route, sent: &mut SchemaGenerator) -> Result<Request, crate::control::ControlError> {
    let needed = "/1";
    let path = in_braces(route.path).map(|name| (name.to_owned(), needed.to_owned())).collect();
    let query = route.query.iter().filter(|one| one.needed).map(|one| (one.name.to_owned(), needed.to_owned()));
    let body = match route.body {
        Body::Json(schema) => {
            let schema = resolved(json!(schema(sent)), sent);
            let names = schema["required"].as_array().cloned().unwrap_or_default();
            names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), json!(needed))).collect()
        }
        _ => Value::Null,
    };
    (route.request)(&Given { path, query: query.collect(), body, file: Some(PathBuf::from(needed)) })
}

/// The schema itself, where it is a reference to one.
fn resolved(schema: Value, generator: &SchemaGenerator) -> Value {
    let name = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next());
    name.and_then(|name| generator.definitions().get(name).cloned()).unwrap_or(schema)
}

/// The names of the parts of a path.
fn in_braces(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name)
}

fn of_route(route: &Route, request: &Request, schemas: &mut Schemas) -> Value {
    let answers = request.answers();
    let last = answers.last.map_or_else(|| json!({ "type": "null" }), |schema| json!(schema(&mut schemas.answered)));
    let row = answers.row.map_or_else(|| last.clone(), |schema| json!(schema(&mut schemas.answered)));
    let row = match request {
        Request::Projections { .. } => json!({ "allOf": [row, object(&[("etag", json!({
            "type": "string", "description": "Changes with everything that an operator would want to know of, and not with progress."
        }))])] }),
        _ => row,
    };
    let mut content = Map::new();
    let mut put = |kind: &str, schema: Value| drop(content.insert(kind.to_owned(), json!({ "schema": schema })));
    let list = json!({ "type": "array", "items": row });
    match route.shape {
        Shape::One => put("application/json", last.clone()),
        Shape::Only => put("application/json", row.clone()),
        Shape::Many(field) => {
            let mut document = object(&[(field, list)]);
            let next = json!({ "description": "Where the next page begins; null where there is none, absent where there are no pages." });
            document["properties"]["next"] = next;
            document["properties"]["cut"] =
                json!({ "type": "boolean", "description": "There are more than one answer may have." });
            put("application/json", document);
        }
        Shape::Both(field) => put("application/json", json!({ "allOf": [last, object(&[(field, list)])] })),
        Shape::Lines => put("application/x-ndjson", row.clone()),
    }
    if route.shape != Shape::Lines {
        let work = json!(schemas.answered.subschema_for::<Work>());
        let problem = json!(schemas.answered.subschema_for::<Document>());
        let beat = json!({ "type": "integer", "description": "Nothing else was said for a while; when, in milliseconds since 1970." });
        let row = json!({ "anyOf": [row, work] });
        let lines = [("row", row), ("done", last), ("error", problem), ("beat", beat)];
        put("application/x-ndjson", json!({ "oneOf": lines.map(|(name, schema)| object(&[(name, schema)])) }));
    }
    let mut answered = json!({ "description": "It was done.", "content": content });
    if matches!(request, Request::Projections { name: Some(_) }) {
        answered["headers"] = json!({ "ETag": { "schema": { "type": "string" } } });
    }
    let mut refused = vec![401, 403, 409, 421, 422, 429, 500, 503];
    refused.extend(route.path.contains('{').then_some(404));
    refused.extend(request.projection().is_some().then_some(412));
    refused.extend(request.must_match().then_some(428));
    let mut parameters = parameters(route.path);
    parameters.extend(route.query.iter().map(|one| {
        json!({ "name": one.name, "in": "query", "required": one.needed, "description": one.about, "schema": { "type": one.kind } })
    }));
    if request.shows() != Shows::Nothing {
        parameters.push(json!({
            "name": "documents", "in": "query", "description": "text: rows and events are given as text", "schema": { "enum": ["text"] },
        }));
    }
    if request.projection().is_some() && request.is_recorded() {
        parameters.push(json!({
            "name": "If-Match", "in": "header", "required": request.must_match(), "schema": { "type": "string" },
            "description": "The ETag of the projection as it was seen.",
        }));
    }
    if request.is_recorded() {
        parameters.push(json!({
            "name": "Unspool-Reason", "in": "header", "schema": { "type": "string" },
            "description": "Why, for the record of activity; what is not ASCII is percent-encoded.",
        }));
    }
    let body = match route.body {
        Body::None => None,
        Body::Json(schema) => {
            let schema = json!(schema(&mut schemas.sent));
            let is_needed = !resolved(schema.clone(), &schemas.sent)["required"].is_null();
            Some(("application/json", schema, is_needed))
        }
        Body::Component => Some(("application/wasm", json!({}), true)),
        Body::Events => Some(("application/octet-stream", json!({}), true)),
    };
    let named = serde_json::to_value(request).unwrap_or_default();
    let mut operation =
        operation(route.method, route.path, route.about, Some(request.role()), answered, &mut refused, body);
    operation["parameters"] = Value::Array(parameters);
    operation["x-unspool"] = json!({
        "request": named["request"], "role": request.role(), "recorded": request.is_recorded(), "mustMatch": request.must_match(),
        "showsRowsAndEvents": request.shows() == Shows::Them,
    });
    operation
}

fn of_own(own: &Own, schemas: &mut Schemas) -> Value {
    let content = match own.answer {
        Kind::Empty => json!({ "description": "It was done." }),
        Kind::Json(schema) => {
            let schema = json!(schema(&mut schemas.answered));
            json!({ "description": "It was done.", "content": { "application/json": { "schema": schema } } })
        }
        Kind::Media(kind) => json!({ "description": "It was done.", "content": { kind: { "schema": {} } } }),
    };
    let body = own.body.map(|kind| match kind {
        Kind::Json(schema) => ("application/json", json!(schema(&mut schemas.sent)), true),
        Kind::Media(kind) => (kind, json!({}), true),
        Kind::Empty => ("application/json", json!({}), false),
    });
    let mut refused = vec![421, 500, 503];
    refused.extend(own.role.is_some().then_some([401, 403]).into_iter().flatten());
    refused.extend(own.body.is_some().then_some([401, 403, 409, 422, 429]).into_iter().flatten());
    refused.extend(own.path.contains('{').then_some([404, 422]).into_iter().flatten());
    refused.extend((own.path == "/v1/stream").then_some(429));
    let mut operation = operation(own.method, own.path, own.about, own.role, content, &mut refused, body);
    operation["parameters"] = Value::Array(parameters(own.path));
    operation["x-unspool"] = json!({ "role": own.role });
    operation
}

/// What an operation has that is asked for by `method` at `path`.
fn operation(
    method: &str,
    path: &str,
    about: &str,
    role: Option<Role>,
    answered: Value,
    refused: &mut Vec<u16>,
    body: Option<(&str, Value, bool)>,
) -> Value {
    let words: Vec<&str> = path.split(['/', '{', '}', '.']).filter(|word| !word.is_empty() && *word != "v1").collect();
    let status = if answered["content"].is_null() { "204" } else { "200" };
    let mut responses = Map::from_iter([(status.to_owned(), answered)]);
    if let Some((kind, ..)) = &body {
        refused.extend([400, 408, 413]);
        refused.extend((*kind == "application/json").then_some(415));
    }
    refused.sort_unstable();
    refused.dedup();
    for status in refused {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") }));
    }
    let who = match role {
        Some(role) => format!("Needs the role {}.", role.name()),
        None => "Nobody is asked who they are.".to_owned(),
    };
    let mut operation = json!({
        "operationId": format!("{}-{}", method.to_ascii_lowercase(), words.join("-")),
        "tags": [if path.starts_with("/v1/") { words.first().copied().unwrap_or_default() } else { "health" }],
        "summary": about,
        "description": who,
    });
    if role.is_none() {
        operation["security"] = json!([]);
    }
    if let Some((kind, schema, is_needed)) = body {
        operation["requestBody"] = json!({ "required": is_needed, "content": { kind: { "schema": schema } } });
    }
    operation["responses"] = Value::Object(responses);
    operation
}

fn parameters(path: &str) -> Vec<Value> {
    let about = |name: &str| match name {
        "name" => "The projection.",
        "generation" => "Its number or name; live: the live one.",
        "table" => "The table.",
        "key" => "The row's key.",
        _ => "The event's id.",
    };
    in_braces(path)
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "description": about(name), "schema": { "type": "string" } })
        })
        .collect()
}

/// The schema of an object that has these.
fn object(fields: &[(&str, Value)]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// Every refusal that there is.
fn responses(problem: &Value) -> Value {
    let all = STATUSES.iter().map(|(status, about)| {
        let content = json!({ "application/problem+json": { "schema": problem } });
        (status.to_string(), json!({ "description": about, "content": content }))
    });
    Value::Object(all.collect())
}
