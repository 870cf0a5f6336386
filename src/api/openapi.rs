//! The OpenAPI document: made from the same declarations as the routes.

use utoipa::PartialSchema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, Ref, RefOr, ResponseBuilder,
    path::Operation,
};

use super::error::{ErrorBody, Refusal};

const SCHEME: &str = "token";

/// Calls that need a worker or a place in the queue.
const BOUNDED_POSTS: [&str; 6] =
    ["/v1/verifications", "/v1/jobs", "/v1/jobs/{id}/replay", "/v1/modules", "/v1/datasets/{id}/versions", "/v1/datasets/{id}/consents"];
/// Event streams.
const BOUNDED_STREAMS: [&str; 2] = ["/v1/jobs/{id}/events", "/v1/datasets/{id}/imports"];

/// The document of the whole interface.
pub fn document() -> OpenApi {
    let (_, public) = super::public().split_for_parts();
    let (_, mut signed) = super::signed().split_for_parts();
    for (path, item) in &mut signed.paths.paths {
        if BOUNDED_POSTS.contains(&path.as_str()) {
            item.post.iter_mut().for_each(busy);
        }
        if BOUNDED_STREAMS.contains(&path.as_str()) {
            item.get.iter_mut().for_each(busy);
        }
        for operation in operations(item) {
            operation.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
            refusable(operation);
        }
    }
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("fusebox")
                .version("1")
                .description(Some("A secure sandbox for developing on fused public and non-public data."))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .schema("ErrorBody", ErrorBody::schema())
                .schema("Refusal", Refusal::schema())
                .security_scheme(SCHEME, SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()))
                .build(),
        ))
        .build();
    document.merge(public);
    document.merge(signed);
    document
}

/// The operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().filter_map(Option::as_mut)
}

/// Adds that more may be under way than allowed.
fn busy(operation: &mut Operation) {
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    let seconds = HeaderBuilder::new().description(Some("seconds after which to try again")).build();
    let response = ResponseBuilder::new()
        .description("more is under way than allowed")
        .content("application/json", body)
        .header("Retry-After", seconds)
        .build();
    operation.responses.responses.entry("429".to_owned()).or_insert(RefOr::T(response));
}

/// Adds what every signed call may be answered with.
fn refusable(operation: &mut Operation) {
    let body = || ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
    for (status, description) in [
        ("401", "no valid token"),
        ("403", "not permitted: by role, by agreement, or by policy"),
        ("404", "no such thing, or not yours to see"),
        ("422", "not of the documented form"),
        ("500", "a failure of the server"),
    ] {
        let response = ResponseBuilder::new().description(description).content("application/json", body()).build();
        operation.responses.responses.entry(status.to_owned()).or_insert(RefOr::T(response));
    }
}
