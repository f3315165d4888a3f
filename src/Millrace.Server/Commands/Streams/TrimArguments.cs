using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>The options XADD and XTRIM share, read one by one and checked together at the end.</summary>
internal struct TrimArguments
{
    private EntryId? _minId;
    private long? _maxLength;
    private bool _isApproximate;
    private long? _limit;
    private ReferencePolicy? _references;

    private readonly bool HasBound => _maxLength is not null || _minId is not null;

    /// <summary>
    /// Reads the option at an index, if it is one of these, and leaves the index at its last argument. <paramref name="isError"/>: it is, but
    /// a wrong one, and the error is written.
    /// </summary>
    public bool TryRead(in CommandCall call, ref int index, out bool isError)
    {
        isError = false;
        if (_references is null && ReferenceArguments.TryPolicy(call, index, out var policy))
        {
            _references = policy;
            return true;
        }

        if (index + 1 >= call.Count)
            return false;
        if (call.Is(index, "LIMIT"u8))
        {
            index++;
            isError = !TryCount(call, index, "LIMIT", out var limit);
            _limit = limit;
            return true;
        }

        var isLength = call.Is(index, "MAXLEN"u8);
        if (!isLength && !call.Is(index, "MINID"u8))
            return false;
        isError = !TryReadBound(call, ref index, isLength);
        return true;
    }

    /// <summary>What to keep, when everything is read; otherwise the error is written.</summary>
    public readonly bool TryFinish(in CommandCall call, bool isRequired, out TrimRequest trim)
    {
        trim = default;
        var error = !HasBound && _limit > 0 ? "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
            : !HasBound && isRequired ? "ERR syntax error, XTRIM must be called with a trimming strategy"
            : _limit is not null && !_isApproximate ? "ERR syntax error, LIMIT cannot be used without the special ~ option"
            : null;
        if (error is not null)
        {
            call.Error(error);
            return false;
        }

        if (HasBound)
        {
            trim = new()
            {
                MaxLength = _maxLength,
                MinId = _minId,
                IsApproximate = _isApproximate,
                Limit = _isApproximate ? _limit ?? call.Engine.Options.DefaultTrimLimit : 0,
                References = _references ?? ReferencePolicy.Keep,
            };
        }

        return true;
    }

    private bool TryReadBound(in CommandCall call, ref int index, bool isLength)
    {
        if (HasBound)
        {
            call.Error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
            return false;
        }

        index++;
        if (index + 1 < call.Count && call[index] is [(byte)'~'] or [(byte)'='])
        {
            _isApproximate = call[index][0] == '~';
            index++;
        }

        if (isLength)
        {
            var isLengthRead = TryCount(call, index, "MAXLEN", out var length);
            _maxLength = length;
            return isLengthRead;
        }

        var isRead = call.TryId(index, out var id);
        _minId = id;
        return isRead;
    }

    private static bool TryCount(in CommandCall call, int index, string name, out long value)
    {
        if (!call.TryInteger(index, out value))
            return false;
        if (value >= 0)
            return true;
        call.Error($"ERR The {name} argument must be >= 0.");
        return false;
    }
}
