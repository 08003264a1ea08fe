# SPDX-License-Identifier: MIT
# bash completion for jobq. Flags come from `jobq help COMMAND`, ids from `jobq ls`: nothing is
# listed twice. Completing never starts a broker.

_jobq_flags()
{
    jobq help "$@" 2>/dev/null | grep -oE -- '(^| )--?[a-zA-Z0-9][a-z0-9-]*' | tr -d ' '
}

_jobq_ids()
{
    jobq --no-autostart --timeout 1s -o id ls --limit 100 "$@" 2>/dev/null
    printf 'last\n'
}

_jobq_queues()
{
    jobq --no-autostart --timeout 1s -o id queue ls 2>/dev/null
}

# The verbs of a command, or all commands.
_jobq_words()
{
    jobq help "$@" 2>/dev/null | sed -nE '/^(verbs|commands):/,/^$/s/^  ([a-z]+) .*/\1/p'
}

_jobq()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local command='' verb='' at word
    local -a choices=()

    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        case $word in
        -u | --url | -o | --output | --timeout) ((at++)) ;;
        -*) ;;
        *)
            if [[ ! $command ]]; then
                command=$word
                [[ $word == @(queue|dead|limit|worker|broker) ]] || break
            else
                verb=$word
                break
            fi
            ;;
        esac
    done

    case $previous in
    -o | --output)
        mapfile -t COMPREPLY < <(compgen -W 'table json jsonl id' -- "$current")
        return
        ;;
    -C | --cwd)
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
        return
        ;;
    --input | --batch)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    -e | --env)
        mapfile -t COMPREPLY < <(compgen -v -- "$current")
        return
        ;;
    -Q | --queue)
        mapfile -t COMPREPLY < <(compgen -W "$(_jobq_queues)" -- "$current")
        return
        ;;
    --after | --after-any | --after-fail | --before)
        mapfile -t COMPREPLY < <(compgen -W "$(_jobq_ids)" -- "$current")
        return
        ;;
    --order)
        mapfile -t COMPREPLY < <(compgen -W 'fifo lifo priority' -- "$current")
        return
        ;;
    --durability)
        mapfile -t COMPREPLY < <(compgen -W 'full relaxed memory' -- "$current")
        return
        ;;
    --only)
        mapfile -t COMPREPLY < <(compgen -W 'enqueue end_to_end latency items item_latency' -- "$current")
        return
        ;;
    --while)
        mapfile -t COMPREPLY < <(compgen -W 'queued running both' -- "$current")
        return
        ;;
    --backoff)
        mapfile -t COMPREPLY < <(compgen -W 'exp:1s..10m fixed:5s' -- "$current")
        return
        ;;
    --state)
        mapfile -t COMPREPLY < <(compgen -W 'blocked delayed ready running succeeded failed
            cancelled expired skipped active ended' -- "$current")
        return
        ;;
    esac

    if [[ $current == -* ]]; then
        mapfile -t choices < <(_jobq_flags ${command:+"$command"} ${verb:+"$verb"})
    else
        case "$command $verb" in
        ' ') mapfile -t choices < <(_jobq_words) ;;
        'submit ' | 'run ')
            # The job's own command, and its arguments.
            mapfile -t COMPREPLY < <(compgen -c -f -- "$current")
            return
            ;;
        'wait ' | 'cancel ') mapfile -t choices < <(_jobq_ids --state active) ;;
        'info ' | 'logs ' | 'result ' | 'why ' | 'events ') mapfile -t choices < <(_jobq_ids) ;;
        'dead retry' | 'dead rm') mapfile -t choices < <(_jobq_ids --failed) ;;
        'put ')
            mapfile -t COMPREPLY < <(compgen -f -W "$(_jobq_queues)" -- "$current")
            return
            ;;
        'get ' | 'peek ' | 'join ') mapfile -t choices < <(_jobq_queues) ;;
        'queue '?*) mapfile -t choices < <(_jobq_queues) ;;
        'queue ' | 'dead ' | 'limit ') mapfile -t choices < <(_jobq_words "$command") ;;
        'worker ') choices=(ls info) ;;
        'broker ') choices=(start status stop) ;;
        'help ') mapfile -t choices < <(_jobq_words) ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "${choices[*]}" -- "$current")
}

complete -o bashdefault -F _jobq jobq
