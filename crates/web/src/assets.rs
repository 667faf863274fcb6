//! The files of the web client, compiled in together with their brotli and gzip forms.

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../../web-client/dist"]
#[allow_missing = true]
struct Client;

const INDEX: &str = "index.html";

/// Vite puts files whose name has a hash of the content here; they never change under the same name.
const HASHED_FOLDER: &str = "assets/";

/// What the page may load and do: its own files and WebSockets, nothing inline, nothing from elsewhere. Blob and data
/// images are avatars and virtual backgrounds; media come from the peer connection.
const CONTENT_SECURITY: &str = "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' blob: data:; \
     media-src 'self' blob: mediastream:; object-src 'none'; base-uri 'self'; form-action 'self'";

/// Camera, microphone and screen for the page itself.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), speaker-selection=(self)";

pub(crate) fn has_index() -> bool {
    Client::get(INDEX).is_some()
}

/// A file of the client; for a path that can be a room, the client's page (client.md §1.4).
pub(crate) async fn serve(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let is_page = path.is_empty() || is_room_path(path);
    let (name, status) = match Client::get(path) {
        Some(_) if !path.is_empty() && !is_encoded_form(path) => (path, StatusCode::OK),
        Some(_) | None if is_page => (INDEX, StatusCode::OK),
        Some(_) | None => (INDEX, StatusCode::NOT_FOUND),
    };
    if status == StatusCode::NOT_FOUND {
        return (status, "not found\n").into_response();
    }
    match encoded_form(name, &headers) {
        Some((file, encoding)) => respond(name, file, encoding, &headers),
        None => (StatusCode::NOT_FOUND, "this server was built without the web client\n").into_response(),
    }
}

/// `ROOM` or `TENANT/ROOM`: one or two parts, none of which looks like a file (client.md §1.4, `^/([^/?&:'"]+)$`).
fn is_room_path(path: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.contains(['?', '&', ':', '\'', '"']);
    match path.split_once('/') {
        None => is_part(path),
        Some((tenant, room)) => {
            is_part(tenant)
                && is_part(room)
                && !room.contains('/')
                && !Client::iter().any(|file| file.starts_with(&format!("{tenant}/")))
        }
    }
}

fn is_encoded_form(path: &str) -> bool {
    path.ends_with(".br") || path.ends_with(".gz")
}

/// The smallest form of a file that the browser takes.
fn encoded_form(name: &str, headers: &HeaderMap) -> Option<(EmbeddedFile, Option<&'static str>)> {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accepts = |encoding: &str| {
        accepted.split(',').any(|entry| {
            let (token, quality) = entry.split_once(';').unwrap_or((entry, ""));
            token.trim() == encoding && quality.trim() != "q=0"
        })
    };
    for (encoding, suffix) in [("br", "br"), ("gzip", "gz")] {
        if accepts(encoding)
            && let Some(file) = Client::get(&format!("{name}.{suffix}"))
        {
            return Some((file, Some(encoding)));
        }
    }
    Client::get(name).map(|file| (file, None))
}

fn respond(name: &str, file: EmbeddedFile, encoding: Option<&'static str>, headers: &HeaderMap) -> Response {
    let hash: String = file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    let is_immutable = name.starts_with(HASHED_FOLDER);
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes()) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Response::new(Body::from(file.data.into_owned()))
    };
    let out = response.headers_mut();
    let mime = mime_guess::from_path(name).first_or_octet_stream();
    let mime = if mime.type_() == "text" { format!("{mime}; charset=utf-8") } else { mime.to_string() };
    insert(out, CONTENT_TYPE, &mime);
    insert(out, ETAG, &etag);
    insert(out, VARY, "accept-encoding");
    insert(out, X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(out, CACHE_CONTROL, if is_immutable { "public, max-age=31536000, immutable" } else { "no-cache" });
    if let Some(encoding) = encoding {
        insert(out, CONTENT_ENCODING, encoding);
    }
    if name == INDEX {
        insert(out, CONTENT_SECURITY_POLICY, CONTENT_SECURITY);
        insert(out, HeaderName::from_static("permissions-policy"), PERMISSIONS);
        insert(out, REFERRER_POLICY, "no-referrer");
    }
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_one_or_two_parts() {
        for room in ["demo", "my-room", "caf%C3%A9", "tenant/demo"] {
            assert!(is_room_path(room), "{room}");
        }
        for other in ["", "a/b/c", "demo/", "a:b", "it's"] {
            assert!(!is_room_path(other), "{other}");
        }
    }
}
