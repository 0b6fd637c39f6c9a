"""net/openapi.json: what it must be to be OpenAPI 3.1, and what it says of an answer.

Debian has no validator of OpenAPI on all releases: the rules that the document uses are here, the schemas in it are jsonschema's
to judge (OpenAPI 3.1 has JSON Schema 2020-12, as it is).
"""

import copy
import json
import re

from cluster import ROOT
from jsonschema import Draft202012Validator

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
DOCUMENT = json.loads((ROOT / "net/openapi.json").read_text())


def some(**properties):
    """An object with these and no others; what is REQUIRED of them."""
    required = [name for name, schema in properties.items() if schema.pop("REQUIRED", False)]
    return {"type": "object", "required": required, "properties": properties, "additionalProperties": False}


def many(of, keys=None):
    return {"type": "object", "minProperties": 1, "additionalProperties": of, **({"propertyNames": {"pattern": keys}} if keys else {})}


def structure():
    """The document without its schemas, as a schema."""
    text = lambda: {"type": "string", "minLength": 1}
    must = lambda schema: {**schema, "REQUIRED": True}
    or_ref = lambda schema: {"if": {"required": ["$ref"]}, "then": some(**{"$ref": must(text())}), "else": schema}
    schema = {"type": "object"}
    header = or_ref(some(description=text(), required={"type": "boolean"}, schema=must(dict(schema))))
    content = many(some(schema=dict(schema), examples={"type": "object"}), r"^[\w*.+-]+/[\w*.+-]+(; [\w-]+=[\w.-]+)*$")
    response = or_ref(some(description=must(text()), headers=many(header), content=content))
    parameter = or_ref(some(name=must(text()), **{"in": must({"enum": ["path", "query", "header"]})}, description=text(), required={"type": "boolean"},
                            allowEmptyValue={"type": "boolean"}, schema=must(dict(schema)), example={}, examples={"type": "object"}))
    security = {"type": "array", "items": {"type": "object"}}
    names = {"type": "array", "items": text(), "minItems": 1}
    operation = some(operationId=must(text()), tags=must(names), summary=must(text()), description=text(), security=security,
                     parameters={"type": "array", "items": parameter}, requestBody=some(description=text(), required={"type": "boolean"}, content=must(content)),
                     responses=must(many(response, r"^([1-5]\d\d|default)$")))
    path = some(parameters={"type": "array", "items": parameter}, **{method: copy.deepcopy(operation) for method in METHODS})
    return some(openapi=must({"pattern": r"^3\.1\.\d+$"}),
                info=must(some(title=must(text()), version=must(text()), summary=text(), description=text(), license=some(name=must(text()), identifier=text()))),
                servers={"type": "array", "items": some(url=must(text()), description=text())}, security=security,
                tags={"type": "array", "items": some(name=must(text()), description=text())}, paths=must(many(path, "^/")),
                components=some(schemas=many(dict(schema)), responses=many(response), parameters=many(parameter), headers=many(header),
                                securitySchemes=many(some(type=must({"const": "http"}), scheme=must({"const": "bearer"}), description=text()))))


def target(document, one):
    """What a reference leads to, or the thing itself; KeyError: there is nothing."""
    while "$ref" in one:
        found = document
        for name in one["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        one = found
    return one


def walk(one):
    """Everything in it that is an object."""
    if isinstance(one, dict):
        yield one
    for inner in one.values() if isinstance(one, dict) else one if isinstance(one, list) else ():
        yield from walk(inner)


def operations(document):
    """Path, method and operation of each."""
    return [(path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item]


def faults_of_references(document):
    used = {one["$ref"] for one in walk(document) if isinstance(one.get("$ref"), str)}
    kinds = [f"#/components/{kind}/{name}" for kind, all in document["components"].items() if kind != "securitySchemes" for name in all]
    for reference in used - set(kinds):
        yield f"{reference} leads nowhere"
    for one in set(kinds) - used:
        yield f"{one} is used by nobody"


def faults_of_operations(document):
    tags = {one["name"] for one in document["tags"]}
    seen = set()
    for path, method, one in operations(document):
        where = f"{method} {path}"
        if one["operationId"] in seen:
            yield f"{where}: another has this operationId"
        seen.add(one["operationId"])
        parameters = [target(document, p) for p in document["paths"][path].get("parameters", []) + one.get("parameters", [])]
        keys = [(p["in"], p["name"]) for p in parameters]
        if len(set(keys)) != len(keys):
            yield f"{where}: a parameter is there twice"
        if {name for place, name in keys if place == "path"} != set(re.findall(r"{(\w+)}", path)):
            yield f"{where}: the path has other parameters"
        if any(p["in"] == "path" and not p.get("required") for p in parameters):
            yield f"{where}: what is in a path is required"
        if not set(one["tags"]) <= tags:
            yield f"{where}: a tag that is none"
        if not any(code.startswith("2") for code in one["responses"]) or "default" not in one["responses"]:
            yield f"{where}: nothing is said of success, or of what HTTP refuses"
        if "requestBody" in one and method != "post":
            yield f"{where}: it has no body"
    for requirement in document["security"] + [r for _, _, one in operations(document) for r in one.get("security", [])]:
        if not set(requirement) <= set(document["components"]["securitySchemes"]):
            yield f"{requirement} is no security scheme"


def faults_of_schemas(document):
    schemas = list(document["components"]["schemas"].values()) + [one["schema"] for one in walk([document["paths"], document["components"]]) if "schema" in one]
    for schema in schemas:
        for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
            yield f"a schema is none: {error.message}"
    for one in (one for one in walk(document["components"]["parameters"]) if "name" in one and "in" in one):
        examples = [one["example"]] if "example" in one else [e["value"] for e in one.get("examples", {}).values()]
        for example in examples:
            for error in Draft202012Validator({**one["schema"], "components": document["components"]}).iter_errors(example):
                yield f"{one['name']}: its example does not fit: {error.message}"


def faults_of(document):
    """What is wrong with it, as sentences."""
    said = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in Draft202012Validator(structure()).iter_errors(document)]
    if said:
        return said
    said = list(faults_of_references(document))
    return said or [*faults_of_operations(document), *faults_of_schemas(document)]


def strict():
    """The document, where no object may have a field that is not there."""
    result = copy.deepcopy(DOCUMENT)
    for one in walk(result["components"]["schemas"]):
        if one.get("type") == "object" and "properties" in one:
            one["additionalProperties"] = False
    return result


class Contract:
    """Holds answers to the document, and remembers which there were."""

    def __init__(self):
        self.document = strict()
        self.seen = set()  # path, method, status as the document has them

    def path_of(self, path):
        """The documented path that this is one of; None: none is."""
        path = path.split("?")[0]
        fits = [one for one in self.document["paths"] if re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(one)), path)]
        return min(fits, key=lambda one: one.count("{")) if fits else None

    def check(self, method, path, reply):
        """Its status (and not only as one of those that HTTP itself has), type, fields and body are documented."""
        where = f"{method} {path}: {reply.status}"
        template = self.path_of(path)
        assert template, f"{where}: there is no such path in the document"
        responses = self.document["paths"][template][method.lower()]["responses"]
        assert str(reply.status) in responses, f"{where}: this is not documented"
        response = target(self.document, responses[str(reply.status)])
        self.seen.add((template, method.lower(), str(reply.status)))
        for name, header in response.get("headers", {}).items():
            header = target(self.document, header)
            assert name in reply.fields or not header.get("required"), f"{where}: {name} is not there"
            if name in reply.fields:
                value = reply.fields[name]
                self.fits(where, header["schema"], int(value) if value.isdigit() else value)
        self.check_body(where, response.get("content", {}), reply, method == "HEAD")

    def check_body(self, where, content, reply, head):
        if head:
            assert reply.body == b"", f"{where}: an answer to HEAD has a body"
            return
        assert (reply.type in content) if content else (reply.body, reply.type) == (b"", ""), f"{where}: its type is {reply.type!r}"
        if "json" in reply.type:
            self.fits(where, content[reply.type]["schema"], reply.json())
        elif reply.type.startswith("text/") and "Content-Encoding" not in reply.fields:
            self.fits(where, content[reply.type]["schema"], reply.body.decode())

    def fits(self, where, schema, value):
        errors = Draft202012Validator({**schema, "components": self.document["components"]}).iter_errors(value)
        said = [f"{'/'.join(map(str, e.absolute_path))}: {e.message}" for e in errors]
        assert not said, f"{where}: {said}"
