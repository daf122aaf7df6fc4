# bash completion for shmstagectl(1)                      -*- shell-script -*-
# SPDX-License-Identifier: GPL-2.0-or-later

# Asks the daemon, for a second at most. Names with escapes (\xNN) are left out: they cannot be typed as shown.
__shmstagectl_ask() {
    local word where=()
    for word in "${words[@]}"; do
        [[ $word == --socket=* || $word == --system-bus ]] && where+=("$word")
    done
    timeout 1 "${words[0]}" "${where[@]}" "$@" 2>/dev/null </dev/null | grep -v '\\'
}

__shmstagectl_mirrors() {
    __shmstagectl_ask status --json=short | grep -o '{"name":"[^"]*"' | cut -d'"' -f4
}

__shmstagectl_names() {
    __shmstagectl_ask list --models --noheadings --output=name
    __shmstagectl_ask list --noheadings --output=path
}

# Completes the last word of a list with commas.
__shmstagectl_list() {
    local before= IFS=' '
    [[ $2 == *,* ]] && before=${2%,*},
    compgen -P "$before" -W "$1" -- "${2##*,}"
}

__shmstagectl_columns() {
    local IFS=' '
    case $1 in
    list)
        [[ " ${words[*]} " == *" --models "* ]] && echo mirror name state size ram files ready reason ||
            echo mirror state size room where method digest path reason users
        ;;
    plan) echo mirror action size path ;;
    users) echo reads pid user command unit how mirror path fix ;;
    esac
}

# Offers the lines of the input that begin with the word, quoted for the shell. compgen -W would execute commands in the
# names of files.
__shmstagectl_filter() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        [[ $line == "$1"* ]] && COMPREPLY+=("$(printf %q "$line")")
    done
}

__shmstagectl_values() {
    local option=${1%%=*} value=${1#*=}
    case $option in
    --json) compgen -W 'pretty short off' -- "$value" ;;
    --output) __shmstagectl_list "$(__shmstagectl_columns "$2")" "${value#+}" ;;
    --state)
        __shmstagectl_list 'staged waiting linked disk skipped released withheld unsaved saving rejected deleting damaged changed' "$value"
        ;;
    --timeout) compgen -W '10s 1min 5min infinity' -- "$value" ;;
    --socket | --config) compgen -f -- "$value" ;;
    --root) compgen -d -- "$value" ;;
    esac
}

_shmstagectl() {
    local cur prev words cword word verb= options
    local -A verbs=(
        [NAMES]='wait stage release accept verify'
        [MIRRORS]='status list plan users'
        [NOTHING]='sync reload doctor cat-config metrics'
    )
    local -A own=(
        [status]='--json --json= --bytes --watch'
        [list]='--json --json= --noheadings --no-legend --output= --bytes --models --state='
        [wait]='--timeout='
        [stage]='--json --json= --all --no-block --no-wait'
        [release]='--json --json= --no-block --no-wait'
        [accept]='--json --json= --all --no-block --no-wait'
        [sync]='--json --json= --no-block --no-wait'
        [verify]='--json --json= --no-block --no-wait'
        [reload]='--json --json= --no-block --no-wait'
        [plan]='--json --json= --noheadings --no-legend --output= --bytes --config= --root='
        [users]='--json --json= --noheadings --no-legend --output= --config= --root='
        [doctor]='--json --json= --config= --root='
        [cat-config]='--config= --root= --effective'
    )
    local common='--help --version --socket= --system-bus --no-pager'

    _get_comp_words_by_ref -n =: cur prev words cword || return
    for word in "${words[@]:1:cword-1}"; do
        [[ $word == -* ]] && continue
        verb=$word
        break
    done

    local IFS=$' \t\n'
    if [[ $cur == --*=* ]]; then
        IFS=$'\n'
        COMPREPLY=($(__shmstagectl_values "$cur" "$verb"))
        [[ $cur == *=+* ]] && COMPREPLY=("${COMPREPLY[@]/#/+}")
        # readline completes only what follows the last =
        [[ $COMP_WORDBREAKS != *=* ]] && COMPREPLY=("${COMPREPLY[@]/#/${cur%%=*}=}")
        [[ $cur == --output=* || $cur == --state=* ]] && compopt -o nospace
        return
    fi
    if [[ $cur == -* ]]; then
        options=$common
        [[ $verb ]] && options+=" ${own[$verb]}" || options+=" ${own[*]}"
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == *= ]] && compopt -o nospace
        return
    fi
    if [[ ! $verb ]]; then
        COMPREPLY=($(compgen -W "${verbs[*]}" -- "$cur"))
    elif [[ " ${verbs[MIRRORS]} " == *" $verb "* ]]; then
        __shmstagectl_filter "$cur" < <(__shmstagectl_mirrors)
    elif [[ " ${verbs[NAMES]} " == *" $verb "* ]]; then
        if [[ $cur == [./]* ]]; then
            IFS=$'\n'
            compopt -o filenames
            COMPREPLY=($(compgen -f -- "$cur"))
        else
            __shmstagectl_filter "$cur" < <(__shmstagectl_names)
            __ltrim_colon_completions "$cur"
        fi
    fi
}

complete -F _shmstagectl shmstagectl
