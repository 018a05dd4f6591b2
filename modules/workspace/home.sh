#!/bin/sh
# Gives an empty home the files that the image gives new users, once, and lets terminals begin in the repository.
if [ ! -e "$HOME/.local/state/outrigger/home" ]; then
  cp -R /etc/skel/. "$HOME/" 2>/dev/null || true
  for file in .bashrc .zshrc; do
    printf '\n%s\n' 'if [ "$PWD" = "$HOME" ] && [ -d "${WORKSPACE_FOLDER:-}" ]; then cd "$WORKSPACE_FOLDER"; fi' >> "$HOME/$file"
  done
  mkdir -p "$HOME/.local/state/outrigger"
  : > "$HOME/.local/state/outrigger/home"
fi
