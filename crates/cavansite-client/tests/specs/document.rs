//! One published document (Swagger 2.0): what it says of a request, and what of one that was made
//! is not so.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cavansite_client::Request;
use serde_json::{Map, Value, json};

/// Headers of every request that the documents do not list.
const COMMON_HEADERS: [&str; 7] = [
    "accept",
    "authorization",
    "content-type",
    "user-agent",
    "x-ms-client-request-id",
    "x-ms-content-sha256",
    "x-ms-date",
];

/// A document, with those that it refers to.
#[derive(Debug)]
pub(crate) struct Document {
    name: String,
    root: Value,
    /// By what references call them.
    referred: BTreeMap<String, Value>,
}

impl Document {
    /// The document of a version in that folder: `KIND-VERSION.json`, or `KIND-VERSION.WHY.json`
    /// where it is not the original. Of the types that all services share, the version that it
    /// refers to, or else the newest that is at hand and older.
    pub(crate) fn read(folder: &Path, kind: &str, version: &str) -> Self {
        let stem = format!("{kind}-{version}.");
        let names = names(folder);
        let name = names.iter().find(|name| name.starts_with(&stem));
        let name = name.unwrap_or_else(|| panic!("{} has no {stem}json", folder.display()));
        let root = read(folder, name);
        let mut referred = BTreeMap::new();
        let mut references = BTreeSet::new();
        collect_references(&root, &mut references);
        for reference in references {
            // `…/Common/stable/2023-11-15/common.json`
            let mut parts = reference.rsplit('/');
            if parts.next() != Some("common.json") {
                continue;
            }
            let wanted = format!("common-{}.json", parts.next().unwrap_or_default());
            let common = names
                .iter()
                .rfind(|name| name.starts_with("common-") && **name <= wanted)
                .unwrap_or_else(|| panic!("{} has no {wanted}", folder.display()));
            if *common != wanted {
                eprintln!("{name}: {common} stands for {wanted}, which is not there");
            }
            referred.insert(reference, read(folder, common));
        }
        Self {
            name: name.clone(),
            root,
            referred,
        }
    }

    /// This document, which refers to no other.
    pub(crate) fn of(root: Value) -> Self {
        Self {
            name: "sample".to_owned(),
            root,
            referred: BTreeMap::new(),
        }
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All operations, as `METHOD /path/{parameter}`.
    pub(crate) fn operations(&self) -> Vec<String> {
        let paths = self.root["paths"].as_object().into_iter().flatten();
        paths
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().into_iter().flatten();
                methods.map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
            })
            .collect()
    }

    /// The operation that a request is for.
    pub(crate) fn operation(&self, request: &Request) -> Option<String> {
        self.operations().into_iter().find(|operation| {
            let (method, template) = operation.split_once(' ').unwrap_or_default();
            let (wanted, given) = (template.split('/'), request.url.path().split('/'));
            method == request.method.as_str()
                && wanted.clone().count() == given.clone().count()
                && wanted
                    .zip(given)
                    .all(|(wanted, given)| wanted == given || wanted.starts_with('{'))
        })
    }

    /// What is wrong with a request for that operation.
    pub(crate) fn faults(&self, operation: &str, request: &Request) -> Vec<String> {
        let (method, path) = operation.split_once(' ').unwrap_or_default();
        let operation = &self.root["paths"][path][method.to_lowercase()];
        let empty = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&empty);
        let parameters: Vec<&Value> = parameters
            .iter()
            .map(|parameter| self.resolved(&self.root, parameter).1)
            .collect();
        let query: Vec<_> = request.url.query_pairs().into_owned().collect();
        let mut faults = self.of_values("query", &parameters, &query);
        let headers = request.headers.iter().filter_map(|(name, value)| {
            let common = COMMON_HEADERS.contains(&name.as_str());
            let value = value.to_str().unwrap_or_default().to_owned();
            (!common).then(|| (name.as_str().to_owned(), value))
        });
        faults.extend(self.of_values("header", &parameters, &headers.collect::<Vec<_>>()));
        if !request.headers.contains_key("authorization") {
            faults.push("no authorization".to_owned());
        }
        let consumes = operation["consumes"].as_array();
        let body = parameters.iter().find(|one| one["in"] == "body");
        faults.extend(self.of_body(body.copied(), consumes, request));
        faults
    }

    /// What is wrong with the query parameters or headers.
    fn of_values(
        &self,
        place: &str,
        parameters: &[&Value],
        given: &[(String, String)],
    ) -> Vec<String> {
        let mut faults = Vec::new();
        let named = |parameter: &Value, name: &str| {
            let wanted = parameter["name"].as_str().unwrap_or_default();
            parameter["in"] == place
                && (wanted == name || place == "header" && wanted.eq_ignore_ascii_case(name))
        };
        for (at, (name, text)) in given.iter().enumerate() {
            let Some(parameter) = parameters.iter().find(|one| named(one, name)) else {
                faults.push(format!("unknown {place} {name}"));
                continue;
            };
            if given[..at].iter().any(|(before, _)| before == name) {
                faults.push(format!("{place} {name} twice"));
            }
            let value = match parameter["type"].as_str() {
                Some("integer") => text
                    .parse::<i64>()
                    .map_or(json!(text), |number| json!(number)),
                _ => json!(text),
            };
            let schema = self.closed(&self.root, parameter);
            faults.extend(refusal(&schema, &value).map(|why| format!("{place} {name}: {why}")));
        }
        for parameter in parameters {
            let is_given = given.iter().any(|(name, _)| named(parameter, name));
            if parameter["in"] == place && parameter["required"] == true && !is_given {
                faults.push(format!("no {place} {}", parameter["name"]));
            }
        }
        faults
    }

    fn of_body(
        &self,
        parameter: Option<&Value>,
        consumes: Option<&Vec<Value>>,
        request: &Request,
    ) -> Vec<String> {
        let content_type = request.headers.get("content-type");
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let Some(parameter) = parameter else {
            let nothing = request.body.is_empty() && content_type.is_none();
            return Vec::from_iter(
                (!nothing).then(|| "a body, where none is described".to_owned()),
            );
        };
        if request.body.is_empty() {
            let required = parameter["required"] == true;
            return Vec::from_iter(required.then(|| "no body".to_owned()));
        }
        let mut faults = Vec::new();
        let is_taken =
            consumes.is_some_and(|types| types.iter().any(|one| one.as_str() == content_type));
        if !is_taken {
            faults.push(format!("content type {content_type:?}"));
        }
        match serde_json::from_slice(&request.body) {
            Ok(body) => {
                let schema = self.closed(&self.root, &parameter["schema"]);
                faults.extend(refusal(&schema, &body));
            }
            Err(error) => faults.push(format!("the body is no JSON: {error}")),
        }
        faults
    }

    /// Follows references; with the document in which it ends.
    fn resolved<'a>(&'a self, home: &'a Value, value: &'a Value) -> (&'a Value, &'a Value) {
        let Some(reference) = value["$ref"].as_str() else {
            return (home, value);
        };
        let (file, place) = reference.split_once('#').unwrap_or((reference, ""));
        let home = if file.is_empty() {
            home
        } else {
            &self.referred[file]
        };
        let value = home.pointer(place);
        self.resolved(
            home,
            value.unwrap_or_else(|| panic!("{reference} is not there")),
        )
    }

    /// A schema that stands alone and refuses what it does not name, and what only the server sets.
    fn closed(&self, home: &Value, schema: &Value) -> Value {
        let (home, schema) = self.resolved(home, schema);
        if let Some(kind) = schema["discriminator"].as_str() {
            let kinds = home["definitions"].as_object().into_iter().flatten();
            let kinds = kinds.filter(|(_, other)| {
                let bases = other["allOf"].as_array().into_iter().flatten();
                bases
                    .map(|base| self.resolved(home, base).1)
                    .any(|base| std::ptr::eq(base, schema))
            });
            let kinds = kinds.map(|(_, other)| {
                let mut closed = self.closed(home, other);
                closed["properties"][kind] = json!({ "enum": [other["x-ms-discriminator-value"]] });
                closed
            });
            return json!({ "oneOf": kinds.collect::<Vec<_>>() });
        }
        let mut closed = Map::new();
        for keyword in [
            "type",
            "format",
            "enum",
            "minimum",
            "maximum",
            "minLength",
            "maxLength",
        ] {
            if let Some(value) = schema.get(keyword) {
                closed.insert(keyword.to_owned(), value.clone());
            }
        }
        if let Some(items) = schema.get("items") {
            closed.insert("items".to_owned(), self.closed(home, items));
        }
        if schema["type"] == "object" || schema.get("allOf").is_some() {
            let (mut properties, mut required) = (Map::new(), Vec::new());
            self.collect_properties(home, schema, &mut properties, &mut required);
            closed.insert("properties".to_owned(), properties.into());
            if !required.is_empty() {
                closed.insert("required".to_owned(), required.into());
            }
            let more = schema.get("additionalProperties");
            let more = more.map_or(json!(false), |more| self.closed(home, more));
            closed.insert("additionalProperties".to_owned(), more);
        }
        closed.into()
    }

    /// Properties of an object, and of those that it extends.
    fn collect_properties(
        &self,
        home: &Value,
        schema: &Value,
        properties: &mut Map<String, Value>,
        required: &mut Vec<Value>,
    ) {
        for base in schema["allOf"].as_array().into_iter().flatten() {
            let (home, base) = self.resolved(home, base);
            self.collect_properties(home, base, properties, required);
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if property["readOnly"] != true {
                properties.insert(name.clone(), self.closed(home, property));
            }
        }
        required.extend(schema["required"].as_array().into_iter().flatten().cloned());
    }
}

/// Why a schema refuses a value, if it does.
fn refusal(schema: &Value, value: &Value) -> Option<String> {
    const PLACE: &str = "https://chat.example/body.json";
    let mut compiler = boon::Compiler::new();
    compiler.set_default_draft(boon::Draft::V4);
    compiler.enable_format_assertions();
    let mut schemas = boon::Schemas::new();
    compiler
        .add_resource(PLACE, schema.clone())
        .unwrap_or_else(|error| panic!("{schema}: {error}"));
    let index = compiler
        .compile(PLACE, &mut schemas)
        .unwrap_or_else(|error| panic!("{schema}: {error}"));
    let refusal = schemas.validate(value, index).err();
    refusal.map(|error| error.to_string())
}

fn read(folder: &Path, name: &str) -> Value {
    let text = std::fs::read_to_string(folder.join(name))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The files of a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

/// The other documents that this one refers to.
fn collect_references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                let file = reference.split('#').next().unwrap_or_default();
                if !file.is_empty() {
                    into.insert(file.to_owned());
                }
            }
            fields
                .values()
                .for_each(|value| collect_references(value, into));
        }
        Value::Array(values) => values
            .iter()
            .for_each(|value| collect_references(value, into)),
        _ => {}
    }
}
