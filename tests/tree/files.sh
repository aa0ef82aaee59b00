# files.sh: the files of the tree, for the tests beside it. Sourced from the top of the tree.

# tree_files PATTERN…: what git tracks or would track; a release archive has no git, so find speaks then.
tree_files() {
    git -c safe.directory='*' ls-files --cached --others --exclude-standard -- "$@" 2>/dev/null |
        sort -u | while IFS= read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done |
        grep . && return
    local pattern tests=()
    for pattern in "$@"; do tests+=(-o -path "./$pattern"); done
    find . \( -path ./build -o -path ./.git -o -path ./run \) -prune -o -type f \( "${tests[@]:1}" \) -print |
        sed 's,^\./,,' | sort
}
