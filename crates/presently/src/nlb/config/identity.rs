//! The lists `user` and `device`, as the proxy asks them; reads the keys of tokens.

use presently_proxy::identity::{self, AorTemplate, Identity, Jwt, JwtKey, TokenPlace};

use crate::nlb::ConfigError;
use crate::nlb::settings::{JwtAlgorithm, JwtSource, JwtWhere, Settings, Source};

pub(super) fn new(settings: &Settings, template: &str) -> Result<Identity, ConfigError> {
    let aor = AorTemplate::parse(template).map_err(|source| ConfigError::Aor {
        text: template.to_owned(),
        source,
    })?;
    let users = settings.user.iter().map(source).collect::<Result<_, _>>()?;
    let devices = settings
        .device
        .iter()
        .map(source)
        .collect::<Result<_, _>>()?;
    Ok(Identity::new(users, devices, aor))
}

fn source(source: &Source) -> Result<identity::Source, ConfigError> {
    Ok(match source {
        Source::Basic(true) => identity::Source::Basic,
        Source::Basic(false) => return Err(ConfigError::BasicOff),
        Source::Cookie(name) => identity::Source::Cookie(name.as_str().into()),
        Source::Header(name) => identity::Source::Header(header(name)?),
        Source::Jwt(jwt) => identity::Source::Jwt(Box::new(token(jwt)?)),
        Source::Query(name) => identity::Source::Query(name.as_str().into()),
    })
}

fn token(jwt: &JwtSource) -> Result<Jwt, ConfigError> {
    let boxed = |text: &Option<String>| text.as_deref().map(Into::into);
    Ok(Jwt {
        claim: jwt.claim.as_str().into(),
        key: key(jwt)?,
        from: match &jwt.from {
            JwtWhere::Bearer => TokenPlace::Bearer,
            JwtWhere::Cookie(name) => TokenPlace::Cookie(name.as_str().into()),
            JwtWhere::Header(name) => TokenPlace::Header(header(name)?),
            JwtWhere::Query(name) => TokenPlace::Query(name.as_str().into()),
        },
        issuer: boxed(&jwt.issuer),
        audience: boxed(&jwt.audience),
    })
}

fn key(jwt: &JwtSource) -> Result<JwtKey, ConfigError> {
    let path = || jwt.key_file.clone();
    let bytes = std::fs::read(&jwt.key_file).map_err(|source| ConfigError::KeyFile {
        path: path(),
        source,
    })?;
    let algorithm = match jwt.algorithm {
        JwtAlgorithm::Es256 => identity::JwtAlgorithm::Es256,
        JwtAlgorithm::Hs256 => identity::JwtAlgorithm::Hs256,
        JwtAlgorithm::Rs256 => identity::JwtAlgorithm::Rs256,
    };
    // An editor puts a line break behind a secret.
    let key = JwtKey::new(algorithm, bytes.trim_ascii());
    key.map_err(|source| ConfigError::Key {
        path: path(),
        source,
    })
}

fn header(name: &str) -> Result<hyper::header::HeaderName, ConfigError> {
    let invalid = |_| ConfigError::Header {
        name: name.to_owned(),
    };
    name.parse().map_err(invalid)
}
