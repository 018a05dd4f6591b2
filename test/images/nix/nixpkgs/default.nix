# Stands in for nixpkgs where there is no network: what a workspace.nix asks of it, made by the bash of the image.
{ }:
let
  make = attributes: derivation ({
    system = builtins.currentSystem;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
  } // attributes);

  program = name: make {
    inherit name;
    args = [ "-ec" ''
      mkdir -p $out/bin
      printf '#!/bin/sh\necho "%s of Nix"\n' $name > $out/bin/$name
      chmod 0755 $out/bin/$name
      # Nix kills a builder that closes its output, as chmod does when it ends, so bash must be the last.
      true
    '' ];
  };

  # A shell's environment is what this file leaves, as with the stdenv of nixpkgs.
  stdenv = make {
    name = "stdenv";
    setup = ''
      PATH=
      for input in $buildInputs; do PATH=$PATH''${PATH:+:}$input/bin; done
      export PATH
    '';
    args = [ "-ec" ''mkdir $out && printf '%s' "$setup" > $out/setup'' ];
  };
in
{
  mkShell = { buildInputs ? [ ], packages ? [ ], ... }@attributes: make (attributes // {
    name = "nix-shell";
    buildInputs = buildInputs ++ packages;
    inherit stdenv;
    outputs = [ "out" ];
    args = [ "-ec" "exit 1" ];
  });
  nodejs-18_x = program "node";
  python311 = program "python3";
  rustc = program "rustc";
  cargo = program "cargo";
}
