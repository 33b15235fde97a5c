//! The requests that the crate makes, against the published OpenAPI documents.
//!
//! Every method is called with the least and with all that its version has, through a transport
//! that keeps the requests; each must be one that the document of that version describes. The
//! documents are not part of this repository: `cargo xtask specs --specs FOLDER` says where they
//! are.

mod calls;
mod document;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use cavansite_client::{ChatApiVersion, IdentityApiVersion, Request};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};

use calls::Made;
use document::Document;

/// Operations that the crate leaves out.
const LEFT_OUT: [(&str, &str); 1] = [(
    "POST /teamsUser/:exchangeAccessToken",
    "trades a token of Microsoft Entra ID, which Cavansite does not know",
)];

/// Checks the requests of one version, and that no operation is forgotten.
fn check(document: &Document, made: &[Made]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for Made { by, request } in made {
        match document.operation(request) {
            None => faults.push(format!("{by}: no such operation: {}", request.url.path())),
            Some(operation) => {
                let found = document.faults(&operation, request);
                faults.extend(found.iter().map(|fault| format!("{by}: {fault}")));
                used.insert(operation);
            }
        }
    }
    let left_out = LEFT_OUT.map(|(operation, _)| operation.to_owned());
    for operation in document.operations() {
        if !used.contains(&operation) && !left_out.contains(&operation) {
            faults.push(format!("no method asks for {operation}"));
        }
    }
    let name = document.name();
    faults
        .into_iter()
        .map(|fault| format!("{name}: {fault}"))
        .collect()
}

fn folder() -> PathBuf {
    std::env::var_os("CAVANSITE_SPECS")
        .expect("the variable CAVANSITE_SPECS names the folder with the documents")
        .into()
}

#[test]
#[ignore = "needs the OpenAPI documents: cargo xtask specs --specs FOLDER"]
fn every_request_to_chat_is_one_that_the_document_of_its_version_describes() {
    for version in ChatApiVersion::ALL {
        let document = Document::read(&folder(), "chat", version.as_str());
        let made = calls::of_chat(*version);
        assert_eq!(check(&document, &made), [""; 0]);
        eprintln!("{}: {} requests", document.name(), made.len());
    }
}

#[test]
#[ignore = "needs the OpenAPI documents: cargo xtask specs --specs FOLDER"]
fn every_request_to_identity_is_one_that_the_document_of_its_version_describes() {
    for version in IdentityApiVersion::ALL {
        let document = Document::read(&folder(), "identity", version.as_str());
        let made = calls::of_identity(*version);
        assert_eq!(check(&document, &made), [""; 0]);
        eprintln!("{}: {} requests", document.name(), made.len());
    }
}

/// A document of one operation that has a bit of everything.
fn sample() -> Document {
    let read_only = json!({ "type": "string", "readOnly": true });
    Document::of(json!({
        "paths": { "/rooms/{id}/guests": { "post": {
            "consumes": ["application/json"],
            "parameters": [
                { "$ref": "#/parameters/Version" },
                { "in": "path", "name": "id", "required": true, "type": "string" },
                { "in": "query", "name": "count", "type": "integer" },
                { "in": "header", "name": "Repeatable", "required": true, "type": "string" },
                { "in": "body", "name": "body", "required": true,
                  "schema": { "$ref": "#/definitions/Guest" } },
            ],
        } } },
        "parameters": { "Version":
            { "in": "query", "name": "api-version", "required": true, "type": "string" } },
        "definitions": {
            "Guest": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": { "type": "string" },
                    "since": { "type": "string", "format": "date-time" },
                    "number": read_only,
                    "stay": { "$ref": "#/definitions/Stay" },
                },
            },
            "Stay": {
                "type": "object", "discriminator": "kind", "required": ["kind"],
                "properties": { "kind": { "type": "string" } },
            },
            "Long": {
                "allOf": [{ "$ref": "#/definitions/Stay" }], "x-ms-discriminator-value": "long",
                "required": ["days"], "properties": { "days": { "type": "integer" } },
            },
            "Short": {
                "allOf": [{ "$ref": "#/definitions/Stay" }], "x-ms-discriminator-value": "short",
            },
        },
    }))
}

/// A request to it, as it should be.
fn request(query: &str, body: &Value) -> Request {
    let url = format!("https://chat.example/rooms/7/guests?{query}");
    let mut request = Request::new(Method::POST, url.parse().expect("a URL"));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("authorization", "Bearer x"),
        ("content-type", "application/json"),
        ("repeatable", "1"),
    ] {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    request.headers = headers;
    request.body = Bytes::from(body.to_string());
    request
}

fn faults(request: &Request) -> Vec<String> {
    let document = sample();
    let operation = document.operation(request).expect("the operation");
    document.faults(&operation, request)
}

#[test]
fn a_request_as_described_has_no_fault() {
    let stay = json!({ "kind": "long", "days": 3 });
    let body = json!({ "name": "Ada", "since": "2025-01-02T03:04:05Z", "stay": stay });
    assert_eq!(faults(&request("api-version=1&count=2", &body)), [""; 0]);
    let body = json!({ "name": "Ada", "stay": { "kind": "short" } });
    assert_eq!(faults(&request("api-version=1", &body)), [""; 0]);
}

#[test]
fn fields_that_are_missing_misspelt_or_of_another_type_are_found() {
    for body in [
        json!({}),
        json!({ "name": 7 }),
        json!({ "name": "Ada", "nmae": "Ada" }),
        json!({ "name": "Ada", "since": "yesterday" }),
        json!({ "name": "Ada", "number": "what the server alone sets" }),
        json!({ "name": "Ada", "stay": { "kind": "long" } }),
        json!({ "name": "Ada", "stay": { "kind": "short", "days": 3 } }),
        json!({ "name": "Ada", "stay": { "kind": "other" } }),
    ] {
        let found = faults(&request("api-version=1", &body));
        assert_eq!(found.len(), 1, "{body}: {found:?}");
    }
}

#[test]
fn parameters_that_are_missing_unknown_twice_or_of_another_type_are_found() {
    let body = json!({ "name": "Ada" });
    for query in [
        "",
        "api-version=1&cuont=2",
        "api-version=1&count=two",
        "api-version=1&count=1&count=2",
    ] {
        let found = faults(&request(query, &body));
        assert_eq!(found.len(), 1, "{query}: {found:?}");
    }
}

#[test]
fn headers_that_are_missing_unknown_or_name_another_type_are_found() {
    let good = request("api-version=1", &json!({ "name": "Ada" }));
    for (name, value) in [
        ("authorization", None),
        ("repeatable", None),
        ("repaetable", Some("1")),
        ("content-type", None),
        ("content-type", Some("text/plain")),
    ] {
        let mut request = good.clone();
        match value {
            Some(value) => {
                let value = HeaderValue::from_static(value);
                request.headers.insert(HeaderName::from_static(name), value);
            }
            None => {
                request.headers.remove(name);
            }
        }
        let found = faults(&request);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
    }
    let mut empty = good;
    empty.body = Bytes::new();
    assert_eq!(faults(&empty).len(), 1);
}

#[test]
fn an_operation_that_the_document_lacks_and_one_that_no_method_asks_for_are_found() {
    let body = json!({ "name": "Ada" });
    let mut elsewhere = request("api-version=1", &body);
    elsewhere.url.set_path("/rooms/7/gests");
    assert_eq!(sample().operation(&elsewhere), None);
    let mut otherwise = request("api-version=1", &body);
    otherwise.method = Method::PUT;
    assert_eq!(sample().operation(&otherwise), None);
    let forgotten = check(&sample(), &[]);
    assert_eq!(forgotten.len(), 1, "{forgotten:?}");
}
